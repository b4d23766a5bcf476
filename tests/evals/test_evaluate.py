"""Players, episodes, traces, statistics and the eval command."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats as scipy_stats

from vlmgym.cli import main
from vlmgym.core import ConfigError, seeds_for, split_of
from vlmgym.dialogue.judge import judge
from vlmgym.dialogue.reply import parse, write_reply
from vlmgym.episodes.batch import EpisodeBatch, play
from vlmgym.episodes.random_walk import walk
from vlmgym.episodes.records import Episode, EvaluationRun, Turn
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import TraceError, TraceWriter, read_trace, repair
from vlmgym.evals import compare, stats
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.metrics import summarise
from vlmgym.evals.settings import Evaluation, starts
from vlmgym.games import GAMES, get_game
from vlmgym.games.parts.grid import Puzzle
from vlmgym.games.parts.opponents import Versus
from vlmgym.players.openai import OpenAIPlayer
from vlmgym.players.registry import make_player
from vlmgym.players.simple import Greedy, Oracle, Random, RandomLegal, Scripted
from vlmgym.players.teacher import Teacher

PLAYERS = [Random(), RandomLegal(), Greedy(), Oracle(), Teacher(0.3)]


@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("player", PLAYERS, ids=lambda p: p.name)
def test_replies_are_well_formed_repeatable_and_independent_of_the_batch(name, player):
    game = get_game(name)
    state = game.reset(game.level("easy"), seeds_for("test", name, "easy", 6))
    replies = player.reply(game, state)
    assert player.reply(game, state) == replies
    assert [player.reply(game, state[i])[0] for i in range(6)] == replies
    for text in replies:
        reply = parse(game, state.level, text)
        assert reply.well_formed
        assert reply.action >= 0
    judged = judge(game, state, replies)[1]
    assert all(j.p_acc for j in judged)
    if player.name not in ("random", "teacher"):
        assert all(j.changed for j in judged)


@pytest.mark.parametrize("name", GAMES)
def test_players_stand_in_the_expected_order(name):
    task = Task(game=name, level="tiny", look="tiny", walk_max=4, walk_legal=True)
    how = Evaluation(episodes=200, turns=1, start="walk")
    success = {
        p.name: evaluate(p, task, how, progress=False)["metrics"]["success"]["mean"]
        for p in PLAYERS
    }
    assert success["random"] < success["teacher"] < success["oracle"]
    # good is what lies on a shortest way, or is best against best play: the gain does not tell
    if isinstance(get_game(name), Puzzle | Versus) or "memory" in get_game(name).tags:
        assert success["random-legal"] < success["oracle"] == 1
        state = get_game(name).reset("tiny", seeds_for("test", name, "tiny", 1))
        if not get_game(name).legal(state).all():
            assert success["random"] < success["random-legal"]
    elif name in ("Snake", "Tetris"):  # the gain comes later than what is good for it
        assert success["random"] < success["random-legal"] < success["oracle"]
    elif name == "Minesweeper":  # greedy play does not know where the mines are
        assert success["random"] < success["random-legal"] <= success["greedy"] <= 1
    else:
        assert success["random"] <= success["random-legal"] <= success["greedy"] == 1


@pytest.mark.parametrize("name", ["2048", "ShisenSho", "ShisenShoPhotos", "Swap", "SlidingPuzzle"])
def test_teacher_errs_at_its_stated_rate_and_reasons_to_its_move(name):
    game = get_game(name)
    state = game.reset(game.level("tiny"), seeds_for("test", "x", "tiny", 300))
    values, replies = (
        game.oracle(state),
        [parse(game, state.level, text) for text in Teacher(0.3).reply(game, state)],
    )
    moves = [game.reasoning(state, row, values[row])[1] for row in range(300)]
    right = [reply.action == move for reply, move in zip(replies, moves, strict=True)]
    chance = 1 / game.n_actions(state.level)
    assert abs(np.mean(right) - (0.7 + 0.3 * chance)) < 4 * (0.21 / 300) ** 0.5
    jumped = 0
    for row, reply in enumerate(replies):
        *claims, choice = reply.think.split("; ")
        assert choice == f"so {game.encode(state.level, reply.action)}"
        jumped += not claims
        assert "; ".join(claims) == (game.reasoning(state, row, values[row])[0] if claims else "")
        assert reply.action == moves[row] or not claims, (
            "an error is a jump to a conclusion, not a wrong search"
        )
        assert not np.isnan(values[row, moves[row]])
    assert abs(jumped / 300 - 0.3) < 4 * (0.21 / 300) ** 0.5
    with pytest.raises(ConfigError, match=r"teacher.error = 2"):
        Teacher(2)


@pytest.mark.parametrize("name", ["2048", "ShisenSho", "ShisenShoPhotos", "Swap"])
@pytest.mark.parametrize("level", ["tiny", "easy", "normal"])
def test_a_search_finds_a_move_where_there_is_one(name, level):
    game = get_game(name)
    state = walk(game, game.level(level), seeds_for("test", "x", level, 30), 4, legal=True)
    values, names = game.oracle(state), game.sample(state.level).names
    board, stuck = game.scene(state).symbols, 0
    for row in range(30):
        said, move = game.reasoning(state, row, values[row])
        assert (move >= 0) == bool((~np.isnan(values[row])).any())
        works = game.success_mask(state[row])[0]
        assert works[move] if works.any() else name == "2048" or move < 0
        if name == "2048" and not works.any() and move >= 0:
            assert game.legal(state[row])[0, move]
            last = tuple(int(x) for x in re.findall(r"\((\d+), (\d+)\)", said.split("; ")[-1])[0])
            rows, cols = board[row].shape
            assert move in (
                (3, 0) if last == (rows - 1, cols - 1) else (1,) if last[1] < cols - 1 else (2,)
            ), "it follows"
            stuck += 1
        assert said.count(" no") >= said.count("; "), "it ends at the first move that works"
        any_name = "|".join(re.escape(one) for one in sorted(names, key=len, reverse=True))
        told = re.findall(rf"\((\d+), (\d+)\) ({any_name})", said)
        assert told
        assert all(names[board[row, int(r), int(c)]] == one for r, c, one in told), (
            "it says what is there"
        )
    assert stuck or name != "2048"


def test_only_local_models_go_on_with_a_given_beginning():
    how = Evaluation(episodes=2, observation="prefill")
    with pytest.raises(
        ConfigError, match=r"observation = 'prefill': allowed is image, text or " r"both"
    ):
        evaluate(
            OpenAIPlayer("nobody"),
            Task(game="Swap", level="tiny", look="tiny"),
            how,
            progress=False,
        )


def test_greedy_and_oracle_know_no_luck():
    game = get_game("2048")
    state = game.reset(game.level("normal"), seeds_for("test", "x", "y", 20))
    for player in (Greedy(), Oracle()):
        assert player.reply(game, state.reseed(3)) == player.reply(game, state)


def test_play_counts_turns_scores_and_ends():
    game = get_game("2048")
    state = game.reset(game.level("easy", max_steps=12), seeds_for("test", "p", "q", 5))
    lane = EpisodeBatch(game, state)
    play([lane], Random())
    turns, episodes = lane.turns, lane.episodes()
    assert [e.seed for e in episodes] == [int(s) for s in state.seed]
    for e in episodes:
        mine = [t for t in turns if t.episode == e.episode]
        assert [t.turn for t in mine] == list(range(e.turns))
        assert sum(t.gain for t in mine) == e.score
        assert sum(t.terms["game"] for t in mine) == e.reward
        assert e.end == "truncated" if e.turns == 12 else "terminated"
    short = EpisodeBatch(game, state, turns=3)
    play([short], Random())
    assert {e.end for e in short.episodes()} == {"stopped"}
    with pytest.raises(ConfigError, match="turns"):
        EpisodeBatch(game, game.reset(game.level("easy", max_steps=0), state.seed))


def test_scripted_replies_follow_the_turn():
    game = get_game("2048")
    state = game.reset(game.level("easy"), seeds_for("test", "p", "q", 2))
    lane = EpisodeBatch(game, state, turns=3)
    play([lane], Scripted(["a", "b"]))
    assert [t.reply for t in lane.turns if t.episode == 0] == ["a", "b", "a"]


def test_trace_round_trip_and_torn_last_line(tmp_path):
    task = Task(game="Swap", level="tiny", look="tiny")
    evaluate(Teacher(), task, Evaluation(episodes=3, turns=2), tmp_path, progress=False)
    path = tmp_path / "trace.jsonl"
    records = list(read_trace(path))
    assert isinstance(records[0], EvaluationRun)
    turns = [r for r in records if isinstance(r, Turn)]
    assert len(turns) == 6
    assert len([r for r in records if isinstance(r, Episode)]) == 3
    game, state = turns[-1].load()
    again = judge(game, state, [turns[-1].reply])[1][0]
    assert (again.terms, again.fault, again.gain) == (
        turns[-1].terms,
        turns[-1].fault,
        turns[-1].gain,
    ), "re-scoring agrees"
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert list(read_trace(path)) == records[:-1]
    with TraceWriter(path) as writer:
        writer.write(records[-1])
    assert path.read_bytes() == whole
    assert repair(path) == 0
    path.write_bytes(whole.replace(b'"kind":"turn"', b'"kind":"tune"', 1))
    with pytest.raises(TraceError, match=r"trace.jsonl:2"):
        list(read_trace(path))


def test_summary_agrees_with_the_trace(tmp_path):
    task = Task(game="2048", level="easy", look="tiny")
    summary = evaluate(Random(), task, Evaluation(episodes=30), tmp_path, progress=False)
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    records = list(read_trace(tmp_path / "trace.jsonl"))
    turns = [r for r in records if isinstance(r, Turn)]
    metrics = summary["metrics"]
    assert metrics["success"]["mean"] == pytest.approx(np.mean([t.gain > 0 for t in turns]))
    assert metrics["game"]["mean"] == pytest.approx(2 * metrics["success"]["mean"] - 1)
    assert sum(v["mean"] for k, v in metrics.items() if k.startswith("fault_")) == pytest.approx(1)
    assert metrics["success"]["low"] < metrics["success"]["mean"] < metrics["success"]["high"]
    empty = summarise([], [])
    assert empty["score"].n == 0


def test_evaluation_uses_test_seeds_only_and_training_never_does():
    for task in (
        Task(game="Swap", level="tiny", look="tiny", walk_max=2),
        Task(game="2048", level="tiny", look="tiny"),
    ):
        for start in ("reset", "walk"):
            seeds = starts(task, Evaluation(episodes=20, start=start)).seed
            assert {split_of(s) for s in seeds} == {"test"}
            pilots = starts(task, Evaluation(episodes=20, start=start, split="pilot")).seed
            assert {split_of(s) for s in pilots} == {"pilot"}
        assert {split_of(s) for s in task.states("train", 20).seed} == {"train"}
        state = task.states("test", 30)
        assert task.game.success_mask(state).any(axis=1).all()
    with pytest.raises(ConfigError, match="walk_max"):
        Task(walk_min=5, walk_max=4)
    with pytest.raises(ConfigError, match="game = 'go'"):
        Task(game="go")


def test_interval_covers_as_promised():
    rng = np.random.default_rng(0)
    hits = 0
    for i in range(200):
        e = stats.mean(rng.normal(3, 2, 60), seed=i)
        hits += e.low <= 3 <= e.high
    assert 176 <= hits <= 198, "95 % of 200, within what the bootstrap and chance allow"


def test_interval_agrees_with_scipy():
    values = np.random.default_rng(1).exponential(2, 80)
    mine = stats.mean(values)
    theirs = scipy_stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=4000, rng=0
    ).confidence_interval
    assert mine.mean == pytest.approx(values.mean())
    assert mine.low == pytest.approx(theirs.low, rel=0.03)
    assert mine.high == pytest.approx(theirs.high, rel=0.03)


def test_ratio_is_clustered():
    turns, hits = np.array([10.0] * 40), np.array([10.0, 0.0] * 20)
    clustered = stats.ratio(hits, turns)
    assert clustered.mean == 0.5
    assert clustered.high - clustered.low > 0.25, "40 clusters, not 400 turns"
    assert stats.ratio([1, 0], [0, 0]).n == 0
    assert np.isnan(stats.mean([5.0]).low)


def test_paired_differences():
    rng = np.random.default_rng(2)
    base = rng.normal(0, 5, 100)
    better = stats.paired(base + 1 + rng.normal(0, 0.5, 100), base)
    assert better.low > 0.8
    assert better.p < 0.001
    same = stats.paired(base + rng.normal(0, 1, 100), base)
    theirs = scipy_stats.ttest_1samp((base + 0) - base + rng.normal(0, 1, 100), 0).pvalue
    assert same.p > 0.01
    assert theirs > 0.001
    with pytest.raises(ValueError, match="equal lengths"):
        stats.paired([1], [1, 2])


def test_eval_command(tmp_path, capsys):
    out = tmp_path / "x"
    call = [
        "eval",
        "--player",
        "random",
        "--game",
        "2048",
        "--level",
        "easy",
        "--episodes",
        "5",
        "--out",
        str(out),
    ]
    assert main(call) == 0
    shown = capsys.readouterr().out
    for metric in ("score", "reward", "p_acc", "cells", "r_acc", "format", "fault_reasoning"):
        assert metric in shown
    assert (out / "trace.jsonl").exists()
    assert (out / "summary.json").exists()
    for bad, message in [
        (["--player", "chess"], "player = 'chess': allowed is random"),
        (["--game", "chess"], "game = 'chess'"),
        (["--episodes", "0"], "Evaluation.episodes = 0"),
        (["--player", "local:/no/such/folder"], "model = '/no/such/folder'"),
        (["--player", "scripted:/no/such/file"], "there is no such file"),
        (["--look", "neon"], "neon"),
    ]:
        assert main([*call, *bad]) == 2
        assert message in capsys.readouterr().err
    script = tmp_path / "s.json"
    script.write_text(json.dumps([write_reply("a", "b", "1")]))
    assert make_player(f"scripted:{script}").name == "scripted"


def test_a_task_keeps_the_names_that_it_was_given():
    """Seeds depend on them; two levels may be equal but for their names."""
    task = Task(game="Swap", level="paper", look="tiny")
    assert task.override(look="clean").names.level == "paper"
    assert Task.parse(task.to_dict()) == task
    assert task != Task(game="Swap", level="normal", look="tiny")
    with pytest.raises(ConfigError, match="override"):
        replace(task, prompt="brief")


def test_pilots_are_recorded_and_never_paired_with_tests(tmp_path):
    task = Task(game="2048", level="tiny", look="tiny", walk_max=2)
    for split, player in (("test", Random()), ("pilot", Random()), ("pilot", Greedy())):
        how = Evaluation(episodes=4, turns=1, start="walk", split=split)
        out = tmp_path / f"{split}-{player.name}"
        summary = evaluate(player, task, how, out, progress=False)
        assert summary["evaluation"]["split"] == split
    pilot, greedy, test = (
        tmp_path / name for name in ("pilot-random", "pilot-greedy", "test-random")
    )
    (paired,) = compare([pilot, greedy])
    assert paired.n == 4
    assert "split=pilot" in paired.task
    assert compare([greedy, test]) == []
