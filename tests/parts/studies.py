"""A small study."""

SMALL = """
model: tiny
seeds: [0, 3]
runs:
  g0-swap: {recipe: study/rl-swap}
  cold-swap: {recipe: study/cold-swap}
  g1-swap: {recipe: study/rl-swap, start: cold-swap, set: [grpo.prefill=true]}
  cold-turned: {recipe: study/follows}
  g1-turned: {recipe: study/rl-path, start: cold-turned, set: [checks.swapped=0]}
evaluations:
  states: {protocol: study/states, players: [random, oracle, "teacher:0.3", base, "*-swap"]}
  told: {protocol: study/states, games: [Swap], players: [base], set: [evaluation.observation=prefill]}
  swapped: {protocol: study/states, games: [ShisenSho], players: [base], set: [evaluation.observation=swapped]}
  episodes-swap: {protocol: study/games, games: [Swap], players: [random, oracle, "teacher:0.3", base, "*-swap"]}
  turned: {protocol: study/turned, players: [base, "*-turned", cold-turned+g1-turned, g1-turned+cold-turned]}
train: [grpo.steps=2, grpo.batch=16, checks.every=1, checks.states=4, cold_start.states=32, grpo.max_new_tokens=60]
evaluate: [evaluation.episodes=4, evaluation.turns=1]
plan:
  question: Does G1 beat its teacher on Swap?
  frozen: "2026-11-28"
  stopping: when all jobs are done
  games: {Swap: swap}
  primary:
    - {name: teacher, says: G1 has more points than its teacher., evaluation: "episodes-{game}", measure: score, of: "g1-{game}", against: "teacher:0.3", expect: greater}
    - {name: alike, says: G1 and G0 do alike., evaluation: states, measure: success, of: g1-swap, against: g0-swap, expect: equal, margin: 0.05, games: [Swap]}
  exploratory:
    - {name: way, says: G1 comes half of the way to the oracle., evaluation: episodes-swap, measure: index, of: g1-swap, against: 0.5, expect: greater}
quick:
  seeds: [0]
"""
BRANCHED = """
model: tiny
seeds: [0, 3]
runs:
  cold: {recipe: study/cold-swap}
evaluations: {}
blocks:
  start: {protocol: study/states, games: [Swap], players: [base, cold], set: [sampling.max_tokens=120], states: 2, descriptions: 4, continuations: 3, batch: 8}
train: [cold_start.states=32, sft.warmup=0]
quick:
  seeds: [0]
  blocks: {start: {states: 1, descriptions: 3, continuations: 2}}
"""
"""A study of the advantages of blocks."""
