"""A small study."""

SMALL = """
model: tiny
seeds: [0, 3]
runs:
  g0-swap: {recipe: study/rl-swap}
  cold-swap: {recipe: study/cold-swap}
  g1-swap: {recipe: study/rl-swap, start: cold-swap, set: [grpo.prefill=true]}
  cold-turned: {recipe: study/cold-turned}
  g1-turned: {recipe: study/rl-turned, start: cold-turned}
evaluations:
  states: {protocol: study/states, players: [random, oracle, "teacher:0.3", base, "*-swap"]}
  told: {protocol: study/told, players: [base]}
  moves: {protocol: study/moves, players: [base], set: [evaluation.episodes=3]}
  exploration: {protocol: study/exploration, games: [Swap], players: [base], set: [evaluation.repeats=3]}
  episodes-swap: {protocol: study/episodes, games: [Swap], players: [random, oracle, "teacher:0.3", base, "*-swap"]}
  turned: {protocol: study/turned, players: [base, "*-turned", cold-turned+g1-turned, g1-turned+cold-turned]}
train: [grpo.steps=2, grpo.batch=16, checks.every=1, checks.states=4, cold_start.states=32, grpo.max_new_tokens=60]
evaluate: [evaluation.episodes=4, evaluation.turns=1]
quick:
  seeds: [0]
"""
