"""Outside environments: exact clones and replays, keyed luck, and the way through the pipeline."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import numpy as np
import pytest

from parts.mutate import every_cut, mutations
from parts.odd_environments import ACTIONS, RULES
from vlmgym import from_gymnasium
from vlmgym.core import ConfigError, MissingExtra, StateError, seeds_for
from vlmgym.dialogue.judge import Fault, judge
from vlmgym.envs.single import GameEnv
from vlmgym.episodes.records import Episode, Turn
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import read_trace
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.settings import Evaluation
from vlmgym.games import GAMES, get_game
from vlmgym.games.external import (
    LevelAtari,
    LevelOutside,
    OutsideGame,
    SnapshotError,
)
from vlmgym.players.simple import Oracle, Random, Scripted
from vlmgym.render.frames import frame_size, render
from vlmgym.testing import sizes
from vlmgym.testing.checks import check_game

BREAKOUT = "Breakout"


@pytest.fixture(scope="module")
def counter() -> OutsideGame:
    return from_gymnasium(
        "Counter-v0", ACTIONS, RULES, value=lambda env: -float(env.unwrapped.level) / 1000
    )


@pytest.fixture(scope="module")
def breakout() -> OutsideGame:
    return get_game(BREAKOUT)  # type: ignore[return-value]


@pytest.fixture
def smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Emulators and replays are slow: the check tries each thing fewer times."""
    for name, amount in {"RUNS": 16, "LUCKS_TRIED": 10, "EPISODES": 16, "GAMES_A_CHECK": 6}.items():
        monkeypatch.setattr(sizes, name, amount)


@pytest.mark.usefixtures("smaller")
def test_a_replayed_environment_passes_the_check(counter: OutsideGame) -> None:
    assert counter.name == "Counter"
    assert [f for f in check_game(counter, ("easy",)) if not f.ok] == []


@pytest.mark.usefixtures("smaller")
def test_breakout_passes_the_check(breakout: OutsideGame) -> None:
    """At its hard level, with sticky answers."""
    assert [f for f in check_game(breakout, ("hard",)) if not f.ok] == []


@pytest.mark.parametrize("name", ["counter", "breakout"])
def test_a_fork_goes_where_gymnasium_goes(name: str, request: pytest.FixtureRequest) -> None:
    """A game stepped through snapshots, its rows in turns, equals the environment stepped straight
    on.
    """
    game: OutsideGame = request.getfixturevalue(name)
    level = (
        game.level("easy", max_steps=40)
        if name == "counter"
        else game.level("easy", max_steps=40, noop_max=0)
    )
    state = game.reset(level, seeds_for("test", game.name, "easy", 3))
    rng = np.random.default_rng(0)
    moves = rng.integers(0, len(game.words), (12, 3))
    moves[0] = 1
    states = [state]
    for move in moves:
        states.append(game.step(states[-1], move)[0])
    env = game.environments.make(level)
    for row in range(3):
        env.reset(seed=int(state.deal[row]))  # type: ignore[attr-defined]
        for turn, move in enumerate(moves[:, row]):
            if states[turn].terminated[row]:
                break
            *_, ended, _, _ = env.step(game.ids[move])
            assert (env.render() == states[turn + 1].frame[row]).all()  # type: ignore[attr-defined]
            assert ended == states[turn + 1].terminated[row]
    back = game.from_bytes(states[5].to_bytes(game))
    for turn in range(5, 12):
        back, _ = game.step(back, moves[turn])
    assert back == states[12]


def test_what_cannot_be_kept_is_refused() -> None:
    with pytest.raises(
        SnapshotError, match=r"no snapshot is possible.*different pictures or " r"rewards"
    ):
        from_gymnasium("Counter-v0", ACTIONS, RULES, hidden_luck=True)
    with pytest.raises(
        ConfigError, match=r"actions\['leap'\] = 7: allowed is an element of " r"Discrete\(3\)"
    ):
        from_gymnasium("Counter-v0", {"leap": 7}, RULES)
    with pytest.raises(ConfigError, match=r"actions = \{\}"):
        from_gymnasium("Counter-v0", {}, RULES)
    with pytest.raises(ConfigError, match=r"render\(\)"):
        from_gymnasium("Counter-v0", ACTIONS, RULES, flat=True)
    half = from_gymnasium("Counter-v0", ACTIONS, RULES, points=1.0)
    half.factor = 0.3
    state = half.reset(half.level("easy"), np.zeros(1, np.uint64))
    with pytest.raises(ConfigError, match="whole numbers"):
        half.step(state, np.array([2]))


def test_arcade_games_need_their_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *_: None)
    with pytest.raises(
        MissingExtra, match=r"ale_py not installed: this needs  pip install " r".*\[atari\]'"
    ):
        from_gymnasium("ALE/Pong-v5", {"stay": 0}, RULES)


def test_luck_of_sticky_answers_is_keyed(counter: OutsideGame) -> None:
    level = counter.level("easy", sticky=0.5)
    state, _ = counter.step(
        counter.reset(level, seeds_for("test", "Counter", "easy", 1)), np.array([2])
    )
    fork = state.repeat(200)
    same, _ = counter.step(fork, np.zeros(200, np.int64))
    assert len(set(same.last.tolist())) == 1  # type: ignore[attr-defined]
    lucky, _ = counter.step(fork.reseed(np.arange(200)), np.zeros(200, np.int64))
    assert 70 < (lucky.last == 2).sum() < 130  # type: ignore[attr-defined]


def test_hold_repeats_the_action() -> None:
    game = from_gymnasium(
        "Counter-v0", ACTIONS, RULES, levels={"slow": LevelOutside(max_steps=9, hold=4)}
    )
    state = game.reset(game.level("slow"), np.zeros(5, np.uint64))
    after, outcome = game.step(state, np.full(5, 2))
    assert (outcome.gain == 4).all()
    assert after.score.tolist() == [4] * 5


def test_pictures_under_every_look(breakout: OutsideGame) -> None:
    state = breakout.reset(breakout.level("easy"), seeds_for("test", "Breakout", "easy", 1))
    assert (render(breakout, state, "clean")[0] == state.frame[0]).all()  # type: ignore[attr-defined]
    assert render(breakout, state, "paper").shape == (1, 840, 640, 3)
    hard = render(breakout, state, "hard")[0].astype(int)
    assert hard.shape[:2] == frame_size(breakout, "easy", "hard")
    assert np.abs(hard - state.frame[0].astype(int)).mean() > 10  # type: ignore[attr-defined]


def test_breakout_is_evaluated_like_the_others(tmp_path, breakout: OutsideGame) -> None:  # type: ignore[no-untyped-def]
    task = Task(game=BREAKOUT, level="easy", look="clean")
    how = Evaluation(episodes=3, turns=12)
    summary = evaluate(Oracle(), task, how, tmp_path, progress=False)
    assert summary["metrics"]["success"]["mean"] == 1
    assert summary["metrics"]["p_acc"]["mean"] is None
    turns = [r for r in read_trace(tmp_path / "trace.jsonl") if isinstance(r, Turn)]
    assert {t.p_acc for t in turns} == {None}
    game, state = turns[-1].load()
    assert game is breakout
    assert (render(game, state, "clean")[0] == state.frame[0]).all()  # type: ignore[attr-defined]
    wrong = evaluate(Random(), task, how, progress=False)["metrics"]
    assert wrong["success"]["mean"] < 0.9
    assert wrong["fault_unknown"]["mean"] > 0
    assert wrong["fault_perception"]["mean"] == wrong["fault_reasoning"]["mean"] == 0
    _, judged = judge(
        game, state, ["<perception>a wall</perception><think>up</think><answer>sideways</answer>"]
    )
    assert judged[0].fault == Fault.FORMAT
    assert judged[0].reply.problem == "not_a_move"


def test_breakout_answers(breakout: OutsideGame) -> None:
    level = breakout.level("easy")
    assert breakout.decode(level, " Serve\n").action == 1
    assert "one of: stay, serve, right, left" in breakout.answer_format(level)
    env = GameEnv(BREAKOUT, "easy", action="text")
    env.reset(seed=1)
    _, reward, *_ = env.step("<perception>x</perception><think>y</think><answer>serve</answer>")
    assert reward == 1, "with no ball in play, serve is the best answer"


def test_a_look_for_states_that_do_not_exist_ends(
    counter: OutsideGame, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vlmgym import games
    from vlmgym.episodes import task as tasks

    never = from_gymnasium("Counter-v0", {"none": 0}, RULES, name="Never")
    monkeypatch.setitem(games.GAMES, "Never", never)
    monkeypatch.setattr(tasks, "PATIENCE", 3)
    with pytest.raises(
        ConfigError, match=r"Task\.walk_max = 2: allowed is a length of walks .*\(0 " r"of"
    ):
        Task(game="Never", level="easy", walk_max=2).states("train", 3)


def test_scripted_replies_and_levels(breakout: OutsideGame) -> None:
    assert isinstance(breakout.level("hard"), LevelAtari)
    reply = "<perception>x</perception><think>y</think><answer>stay</answer>"
    found = evaluate(
        Scripted(reply),
        Task(game=BREAKOUT, level="easy"),
        Evaluation(episodes=2, turns=3),
        progress=False,
    )
    assert found["metrics"]["format"]["mean"] == 1


def test_a_time_limit_of_the_environment_cuts_the_game_and_does_not_end_it(
    tmp_path, monkeypatch
) -> None:  # type: ignore[no-untyped-def]
    """In states, bytes, environments, traces and the rewards that go on from there; the rules still
    end games.
    """
    game = from_gymnasium("Short-v0", ACTIONS, RULES, value=lambda env: 2.0)
    state = game.reset(game.level("easy"), np.arange(6, dtype=np.uint64))
    rules = np.zeros(6, bool)
    for turn in range(3):
        assert not state.truncated.any()
        if turn == 2:
            going = ~state.ended
            assert (game.oracle(state)[going, 0] >= 2.0).any(), (
                "what was cut is worth what it stands at"
            )
        state, outcome = game.step(state, np.full(6, 0))
        rules |= state.terminated
        assert (outcome.terminated == state.terminated).all()
    assert state.ended.all()
    assert (state.truncated == ~rules).all()
    assert state.truncated.any()
    assert (state.steps < state.level.max_steps).all()
    again = game.from_bytes(state.to_bytes(game))
    assert again == state
    assert (again.truncated == state.truncated).all()
    assert (state[state.truncated].repeat(2)).truncated.all()
    assert game.step(state, np.full(6, 0))[0] == state, "nothing is played after it"
    env = GameEnv(game, "easy")
    env.reset(
        options={
            "state": game.reset(game.level("easy"), np.flatnonzero(~rules)[:1].astype(np.uint64))
        }
    )
    assert [env.step(0)[2:4] for _ in range(3)] == [(False, False), (False, False), (False, True)]
    monkeypatch.setitem(GAMES, "Short", game)
    evaluate(
        Scripted("<answer>none</answer>"),
        Task(game="Short", level="easy"),
        Evaluation(3, 9),
        tmp_path,
        progress=False,
    )
    ends = [
        record.end for record in read_trace(tmp_path / "trace.jsonl") if isinstance(record, Episode)
    ]
    assert set(ends) == {"truncated"}


def test_states_of_an_environment_are_read_from_bytes_or_refused(counter: OutsideGame) -> None:
    """Snapshots hold what others wrote: their actions, their sizes, and the size of the picture."""
    state = counter.reset("easy", seeds_for("free", "Counter", "easy", 1))
    state, _ = counter.step(state, np.array([1]))
    data = state.to_bytes(counter)
    assert counter.from_bytes(data) == state
    for bad in [*every_cut(data), *mutations(data, 300, 3)]:
        if bad != data:
            with pytest.raises(StateError):
                counter.from_bytes(bad)
    for key, value in {"used": 5000, "last": 99, "deal": 1 << 40}.items():
        with pytest.raises(StateError, match=key):
            counter.from_bytes(
                replace(state, **{key: np.full_like(state.arrays()[key], value)}).to_bytes(counter)
            )
    with pytest.raises(StateError, match="actions that Counter does not have"):
        counter.from_bytes(replace(state, board=np.full_like(state.board, 200)).to_bytes(counter))
    with pytest.raises(StateError, match="damaged state: arrays"):
        counter.from_bytes(replace(state, frame=state.frame[:, 1:]).to_bytes(counter))
