"""Paired comparisons, leaderboards, confusions, difficulty curves, figures; and the statistics
under them.
"""

import csv
import itertools
import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import stats as scipy_stats

from vlmgym.core import ConfigError, MissingExtra
from vlmgym.dialogue.reply import write_reply
from vlmgym.episodes.records import Episode, EvaluationRun
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import TraceWriter, load_trace
from vlmgym.evals import stats
from vlmgym.evals.comparison import compare
from vlmgym.evals.confusions import confusion, misread
from vlmgym.evals.curves import curve, sweep
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.leaderboards import leaderboard
from vlmgym.evals.metrics import PAIRED, shown_in
from vlmgym.evals.settings import Evaluation
from vlmgym.games import get_game
from vlmgym.players.simple import Oracle, Random, Scripted
from vlmgym.players.teacher import Teacher
from vlmgym.render.looks import LOOKS
from vlmgym.report.plots import figures

NASTY = "a|b\n| x | `c\\|d` <b> $1_2$ /../"


def named(player, name):
    player.name = name
    return player


def describer(change, name="describer"):
    """A player who writes the board that ``change`` makes of the true symbols (-1 = leave it out),
    and an action.
    """

    def reply(game, state):
        scene = game.scene(state)
        symbols = change(scene.symbols[0].copy(), len(scene.names))
        text = "\n".join("|".join("?" if s < 0 else scene.names[s] for s in row) for row in symbols)
        return write_reply(text, "so", game.encode(state.level, int(state.steps[0]) % 2))

    return named(Scripted(reply), name)


def next_symbol(symbols, count):
    """Every cell of the last column is taken for the next symbol; the first cell is never
    stated.
    """
    symbols[:, -1] = (symbols[:, -1] + 1) % count
    symbols[0, 0] = -1
    return symbols


def run(player, folder, how=None, **task):
    evaluate(
        player,
        Task(**{"level": "easy", "look": "tiny", **task}),
        how or Evaluation(episodes=12, turns=3),
        folder,
        False,
    )
    return folder


def written(folder, player, values, repeats=1, seeds=None, failed=()):
    """A folder with the trace of made-up episodes; ``values``: for each episode, the success of its
    turns.
    """
    run(Random(), folder / "base", Evaluation(episodes=1, turns=1))
    turn = load_trace(folder / "base/trace.jsonl").turns[0]
    settings = {**asdict(Evaluation()), "repeats": repeats, "episodes": len(values) // repeats}
    with TraceWriter(folder / "trace.jsonl") as writer:
        writer.write(EvaluationRun(player, "2048", "easy", "tiny", evaluation=settings))
        for number, hits in enumerate(values):
            seed = seeds[number] if seeds else number // repeats
            for place, hit in enumerate(hits):
                terms = {**turn.terms, "game": 1.0 if hit else -1.0}
                writer.write(
                    replace(turn, episode=number, turn=place, seed=seed, terms=terms, gain=4 * hit)
                )
            end = "failed" if number in failed else "stopped"
            writer.write(
                Episode(
                    number,
                    seed,
                    len(hits),
                    4 * sum(hits),
                    2.0 * sum(hits) - len(hits),
                    end,
                    number % repeats,
                )
            )
    return folder


# ---- paired comparisons
def test_compare_agrees_with_the_traces_and_with_scipy(tmp_path):
    folders = [
        run(p, tmp_path / p.name, Evaluation(episodes=25, turns=4))
        for p in (Oracle(), Random(), Teacher(0.3))
    ]
    found = compare(folders)
    assert [one.players for one in found] == [
        ("oracle", "random"),
        ("oracle", "teacher"),
        ("random", "teacher"),
    ]
    assert {one.task for one in found} == {"2048, level easy, look tiny, turns=4"}

    def means(folder):
        turns = load_trace(folder / "trace.jsonl").turns
        return np.array(
            [np.mean([t.terms["game"] > 0 for t in turns if t.episode == e]) for e in range(25)]
        )

    for one, (a, b) in zip(found, itertools.combinations(folders, 2), strict=True):
        gap = means(a) - means(b)
        assert one.mean == pytest.approx(gap.mean())
        assert one.low < one.mean < one.high
        exact = scipy_stats.permutation_test(
            (gap,), np.mean, permutation_type="samples", n_resamples=20_000, rng=1
        )
        assert one.p == pytest.approx(exact.pvalue, abs=0.02)
        assert (one.n, one.left_out) == (25, 0)
    assert [one.p_holm for one in found] == stats.holm([one.p for one in found]).tolist()
    assert found[0].p_holm < 0.05
    assert all(one.p_holm >= one.p for one in found)
    back = compare(folders[::-1])
    assert back[-1].mean == pytest.approx(-found[0].mean)


def test_failed_and_missing_episodes_are_left_out_never_zero(tmp_path):
    a = written(tmp_path / "a", "a", [[1, 1], [1, 0], [0, 0], [1, 1], [1, 1]], failed=[2])
    b = written(
        tmp_path / "b",
        "b",
        [[0, 0], [0, 1], [1, 1], [0, 0], [1, 1], [0, 0]],
        seeds=[0, 1, 2, 3, 77, 5],
    )
    (one,) = compare([a, b])
    assert one.n == 3, "0, 1 and 3; 2 failed, 4 has two seeds, 5 is missing"
    assert one.mean == pytest.approx((1 + 0 + 1) / 3)
    assert one.left_out == 4, "2, both of 4, and 5"
    none = written(tmp_path / "none", "none", [[1]], failed=[0])
    pairs = {one.players: one for one in compare([a, none, b])}
    assert pairs["a", "none"].n == 0
    assert np.isnan(
        [pairs["a", "none"].mean, pairs["a", "none"].p, pairs["a", "none"].p_holm]
    ).all()
    assert pairs["a", "b"].p_holm == one.p, "a comparison of nothing is none to adjust for"


def test_repetitions_of_a_start_are_one_value(tmp_path):
    a = written(tmp_path / "a", "a", [[1], [0], [1], [1], [0, 1, 1, 1], [0]], repeats=2)
    b = written(tmp_path / "b", "b", [[0], [0], [1], [0], [1], [1]], repeats=2, failed=[5])
    (one,) = compare([a, b])
    assert (one.n, one.left_out) == (3, 1)
    assert one.mean == pytest.approx((0.5 + 0.5 + (0.75 - 1)) / 3)
    (score,) = compare([a, b], "score")
    assert score.mean == pytest.approx((2 + 2 + (12 - 4)) / 3)
    assert score.metric == "score"


def test_only_what_was_asked_alike_is_compared(tmp_path):
    how = Evaluation(episodes=4, turns=2)
    base = run(Oracle(), tmp_path / "base", how)
    others = [
        run(Random(), tmp_path / "game", how, game="Swap"),
        run(Random(), tmp_path / "level", how, level="normal"),
        run(Random(), tmp_path / "look", how, look="tiny:noise=0.1"),
        run(Random(), tmp_path / "prompt", how, prompt="brief"),
        run(Random(), tmp_path / "turns", how.override(turns=3)),
        run(Random(), tmp_path / "mode", how.override(mode="lenient")),
        run(Random(), tmp_path / "walk", how.override(start="walk"), walk_max=3),
    ]
    assert compare([base, *others]) == []
    more = run(Random(), tmp_path / "more", how.override(episodes=6, oracle=False))
    (one,) = compare([base, *others, more])
    assert (one.players, one.n, one.left_out) == (("oracle", "random"), 4, 2)
    (regret,) = compare([base, more], "regret")
    assert (regret.n, regret.left_out) == (0, 6), (
        "without an oracle there is no regret, and none is not zero"
    )
    again = run(Oracle(), tmp_path / "again", how)
    (twice,) = compare([base, again, base])
    assert twice.players == ("oracle (base)", "oracle (again)")
    assert (twice.mean, twice.p) == (0, 1)
    (back,) = compare([again, base])
    assert back.players == twice.players[::-1], "who is who does not depend on the order"


@pytest.mark.parametrize("metric", PAIRED)
def test_every_metric_of_equal_players_differs_by_nothing(tmp_path, metric):
    folders = [
        run(named(Oracle(), name), tmp_path / name, Evaluation(episodes=3, turns=2))
        for name in "ab"
    ]
    (one,) = compare(folders, metric)
    assert (one.mean, one.p, one.n) == (0, 1, 3)
    if metric in ("score", "reward"):
        assert np.isnan([one.low, one.high]).all(), (
            "three equal scores tell nothing of how much they could differ"
        )
    else:
        assert (one.low, one.high) == (
            pytest.approx(0.05 ** (1 / 3) - 1),
            pytest.approx(1 - 0.05 ** (1 / 3)),
        )


def test_what_cannot_be_compared_is_said(tmp_path):
    with pytest.raises(ConfigError, match=r"metric = 'luck'.*success"):
        compare([], "luck")
    assert compare([]) == []
    with TraceWriter(tmp_path / "trace.jsonl") as writer:
        writer.write(EvaluationRun("x", "2048", "easy", "tiny"))
    with pytest.raises(ConfigError, match="vlmgym eval"):
        compare([tmp_path])


# ---- leaderboard
def cells(line):
    """The cells of a line of a GitHub table: parted by bars that no backslash escapes."""
    return [part.strip() for part in re.split(r"(?<!\\)(?:\\\\)*\|", line.strip()[1:-1])]


def tables(text):
    blocks = [block.split("\n") for block in text.split("\n\n")]
    return [[cells(line) for line in block] for block in blocks if block[0].startswith("|")]


def test_leaderboard_ranks_and_tells_the_numbers_of_the_summaries(tmp_path):
    players = [named(Random(), NASTY), Oracle(), Teacher(0.3)]
    parts = [run(p, tmp_path / f"part{i}") for i, p in enumerate(players)]
    whole = [
        run(p, tmp_path / f"whole{i}", Evaluation(episodes=5, oracle=False), game="Swap")
        for i, p in enumerate(players[:2])
    ]
    rows = leaderboard([*parts, *whole], tmp_path / "out")
    assert [row["game"] for row in rows] == ["2048"] * 3 + ["Swap"] * 2
    assert rows[0]["player"] == "oracle"
    for key, part in (("success", rows[:3]), ("score", rows[3:])):
        assert part == sorted(part, key=lambda row: -row[key])
    for folder in (*parts, *whole):
        summary = json.loads((folder / "summary.json").read_text())
        row = next(
            r
            for r in rows
            if r["player"] == summary["player"] and r["game"] == summary["task"]["game"]
        )
        for metric in shown_in("leaderboard"):
            expected = summary["metrics"][metric]
            if metric == "regret" and folder in whole:
                expected = {"mean": None, "low": None, "high": None}
            assert [row[metric], row[f"{metric}_low"], row[f"{metric}_high"]] == [
                expected[k] for k in ("mean", "low", "high")
            ]
        assert row["episodes"] == summary["evaluation"]["episodes"]
        assert (row["turns"], row["failed"], row["cost"]) == (summary["episodes"]["turns"], 0, None)
        assert row["settings"] == ("" if folder in whole else "turns=3")
    with (tmp_path / "out/leaderboard.csv").open(newline="", encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    assert [{k: "" if v is None else str(v) for k, v in row.items()} for row in rows] == read


def test_no_name_breaks_the_tables(tmp_path):
    folders = [
        run(named(Random(), name), tmp_path / str(i), Evaluation(episodes=4, turns=2))
        for i, name in enumerate((NASTY, "b"))
    ]
    leaderboard(folders, tmp_path)
    text = (tmp_path / "leaderboard.md").read_text()
    ranking, pairs = tables(text)
    assert [len(line) for line in ranking] == [19] * 4
    assert [len(line) for line in pairs] == [9] * 3
    assert {line[1] for line in ranking[2:]} == {"4"}
    assert all(
        re.fullmatch(r"-?\d\.\d{3}( \[-?\d\.\d{3}, -?\d\.\d{3}\])?", line[2])
        for line in ranking[2:]
    )
    assert "n = 4 finished episodes" in text
    assert "bootstrap" in text.splitlines()[-1]
    assert "over the 1 comparisons" in text
    assert not re.search(r"(?<!\\)[<`]", "".join(line[0] for line in ranking))
    (one,) = compare(folders)
    assert pairs[2][4:] == [
        f"{one.mean:.3f} [{one.low:.3f}, {one.high:.3f}]",
        *[f"{one.p:.4f}"] * 2,
        "4",
        "0",
    ]
    leaderboard([], tmp_path / "empty")
    assert "No task has two players" in (tmp_path / "empty/leaderboard.md").read_text()


# ---- perception
@pytest.mark.parametrize(
    ("game", "level"),
    [("2048", "easy"), ("ShisenSho", "normal"), ("Sokoban", "easy"), ("SlidingPuzzle", "easy")],
)
def test_confusion_and_misread_agree_with_a_count_cell_by_cell(tmp_path, game, level):
    rng = np.random.default_rng(5)

    def change(symbols, count):
        hit = rng.random(symbols.shape)
        return np.where(
            hit < 0.2, rng.integers(count, size=symbols.shape), np.where(hit < 0.3, -1, symbols)
        )

    turns = load_trace(
        run(describer(change), tmp_path, game=game, level=level) / "trace.jsonl"
    ).finished()
    expected, wrong, told = Counter(), Counter(), Counter()
    for turn in turns:
        rules, state = turn.load()
        scene = rules.scene(state)
        for r, c in np.ndindex(*scene.symbols.shape[1:]):
            true, seen = scene.names[scene.symbols[0, r, c]], turn.seen[r][c]
            expected[true, scene.names[seen] if seen >= 0 else None] += 1
            told[r, c] += seen >= 0
            wrong[r, c] += seen >= 0 and scene.names[seen] != true
    table = confusion(turns)
    names = [*table.names, None]
    found = {(names[i], names[j]): int(table.counts[i, j]) for i, j in np.argwhere(table.counts)}
    assert found == {key: value for key, value in expected.items() if value}
    assert table.wrong.sum() == sum(wrong.values())
    shares = misread(turns)
    assert shares.dtype == np.float64
    assert shares == pytest.approx(
        np.array(
            [[wrong[r, c] / told[r, c] for c in range(shares.shape[1])] for r in range(len(shares))]
        )
    )


def test_misread_knows_places_and_what_is_never_told(tmp_path):
    turns = load_trace(run(describer(next_symbol), tmp_path) / "trace.jsonl").finished()
    shares = misread(turns)
    assert np.isnan(shares[0, 0])
    assert (shares[:, -1] == 1).all()
    assert np.nansum(shares[:, :-1]) == 0
    assert confusion(turns).counts[:, -1].sum() == len(turns)


def test_symbols_of_several_levels_meet_by_name(tmp_path):
    small = load_trace(
        run(Teacher(), tmp_path / "s", game="SlidingPuzzle", level="tiny") / "trace.jsonl"
    ).finished()
    large = load_trace(
        run(Teacher(), tmp_path / "l", game="SlidingPuzzle", level="hard") / "trace.jsonl"
    ).finished()
    parts, both = [confusion(part) for part in (small, large)], confusion([*small, *large])
    assert (
        len(both.names)
        == max(len(part.names) for part in parts)
        > min(len(part.names) for part in parts)
    )
    for name, count in zip(both.names, np.diag(both.counts), strict=False):
        assert count == sum(
            int(part.counts[part.names.index(name)].sum()) for part in parts if name in part.names
        )
    with pytest.raises(ConfigError, match="one board size"):
        misread([*small, *large])
    other = load_trace(run(Teacher(), tmp_path / "o") / "trace.jsonl").finished()
    for function in (confusion, misread):
        with pytest.raises(ConfigError, match="one game"):
            function([*small, *other])
    assert confusion([]).counts.shape == (0, 1)
    with pytest.raises(ConfigError, match="one board size"):
        misread([])


def test_worst_symbols_are_those_of_the_most_frequent_confusions(tmp_path):
    game = get_game("ShisenSho")
    a, b, c, d = np.unique(game.reset(game.level("easy"), np.zeros(1, np.uint64)).board)[
        -4:
    ].tolist()

    def change(symbols, count):
        odd = np.arange(symbols.size).reshape(symbols.shape) % 2 == 1
        return np.where(symbols == b, d, np.where((symbols == c) & odd, a, symbols))

    turns = load_trace(
        run(describer(change), tmp_path, Evaluation(episodes=40, turns=1), game="ShisenSho")
        / "trace.jsonl"
    ).finished()
    table = confusion(turns)
    pairs = sorted(
        ((table.counts[i, j], i, j) for i, j in np.ndindex(*table.wrong.shape) if i != j),
        reverse=True,
    )
    assert {(i, j) for n, i, j in pairs if n} == {(b, d), (c, a)}
    assert table.worst(2) == sorted(pairs[0][1:])
    assert table.worst(4) == [a, b, c, d]
    assert set(table.worst(5)) > {a, b, c, d}
    assert len(table.worst(500)) == len(
        {s for s in range(len(table.names)) if table.counts[s].any() or table.counts[:, s].any()}
    )


# ---- difficulty curves
def test_curves_have_the_true_values_of_presets(tmp_path):
    how = Evaluation(episodes=3, turns=2)
    looks = ["normal:noise=0.1", "normal", "normal:noise=0", "hard"]
    folders = [
        run(p, tmp_path / f"{p.name}{i}", how, look=look)
        for p in (Oracle(), Random())
        for i, look in enumerate(looks)
    ]
    summaries = [json.loads((folder / "summary.json").read_text()) for folder in folders]
    lines = curve(summaries, "look.noise")
    assert (
        curve(folders, "look.noise")
        == curve([folder / "summary.json" for folder in folders], "look.noise")
        == lines
    )
    assert {(line.player, line.values) for line in lines} == {
        (name, values)
        for name in ("oracle", "random")
        for values in ((0.0, LOOKS["normal"].noise, 0.1), (LOOKS["hard"].noise,))
    }
    for line in lines[:1]:
        assert (line.player, line.game, line.task) == (
            "oracle",
            "2048",
            "look normal, level easy, turns=2",
        )
        order = [summaries[i]["metrics"]["success"]["mean"] for i in (2, 1, 0)]
        assert [one.mean for one in line.metrics["success"]] == order
        assert {one.n for one in line.metrics["score"]} == {3}


def test_curves_of_a_level_dial_and_of_the_larger_of_two_evaluations(tmp_path):
    folders = [
        run(Random(), tmp_path / f"{rows}", game="ShisenSho", level=f"easy:rows={rows}")
        for rows in (6, 4)
    ]
    first = curve(folders, "level.rows")
    assert [line.values for line in first] == [(4.0, 6.0)]
    more = run(
        Random(),
        tmp_path / "more",
        Evaluation(episodes=20, turns=3),
        game="ShisenSho",
        level="easy:rows=6",
    )
    for order in ([*folders, more], [more, *folders]):
        (line,) = curve(order, "level.rows")
        assert [one.n for one in line.metrics["success"]] == [12, 20]
    other = run(Random(), tmp_path / "other")
    assert [(line.game, len(line.values)) for line in curve([*folders, other], "level.copies")] == [
        ("ShisenSho", 1)
    ] * 2
    assert {line.game for line in curve([*folders, other], "level.rows")} == {"ShisenSho", "2048"}
    blind = run(Random(), tmp_path / "blind", Evaluation(episodes=2, turns=1, oracle=False))
    assert np.isnan(curve([blind], "look.blur")[0].metrics["regret"][0].mean)


@pytest.mark.parametrize("field", ["look.nose", "look.font", "noise", "level.", "view.noise", ""])
def test_unknown_dials_are_named_with_what_is_allowed(tmp_path, field):
    with pytest.raises(
        ConfigError,
        match=r"look\.noise" if field.startswith("look") else r"look\.FIELD|level\.max_steps",
    ):
        curve([run(Random(), tmp_path, Evaluation(episodes=1, turns=1))], field)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0:1:5", [0, 0.25, 0.5, 0.75, 1]), ("0,0.1,0.3", [0, 0.1, 0.3]), ("4:8:3", [4, 6, 8]), ("0:0.3:4", [0, 0.1, 0.2, 0.3]),
        ("1:0:3", [1, 0.5, 0]), ("7", [7]), (" -1 , 2e-1", [-1, 0.2]),
    ],
)  # fmt: skip
def test_sweep_reads_ranges_and_lists(text, values):
    assert sweep(text) == values
    assert [type(one) for one in sweep(text)] == [type(one) for one in values], (
        "whole numbers fit fields of integers"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "0:1",
        "0:1:1",
        "0:1:0",
        "0:1:2.5",
        "0:1:2:3",
        "0:1:1001",
        "1:1:3",
        "1,1",
        "0,,1",
        "nan",
        "0,inf",
        "0:nan:3",
    ],
)
def test_sweep_refuses_what_is_unclear(text):
    with pytest.raises(ConfigError, match=r"sweep = .*0:1:5"):
        sweep(text)


# ---- figures
def test_figures_of_every_kind(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    titles, save = [], Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, path: (titles.append(self.get_suptitle()), save(self, path))
    )
    many = named(
        describer(
            lambda symbols, count: (
                np.random.default_rng(1).permutation(symbols.ravel()).reshape(symbols.shape)
            )
        ),
        NASTY,
    )
    noisy = [
        run(describer(next_symbol, "d"), tmp_path / f"n{i}", look=f"tiny:noise={i / 10}")
        for i in range(3)
    ]
    silent = run(named(Scripted("no"), "silent"), tmp_path / "silent", game="Swap")
    shisen = run(
        many, tmp_path / "many", Evaluation(episodes=8, turns=1), game="ShisenSho", level="hard"
    )
    found = figures([*noisy, silent, shisen], tmp_path / "out")
    assert sorted(found) == sorted((tmp_path / "out").iterdir())
    assert Counter(path.name.split("-")[0] for path in found) == {
        "confusion": 4,
        "misread": 4,
        "curve": 1,
    }
    assert {path.name for path in found if "curve" in path.name} == {"curve-2048-look.noise.png"}
    for path in found:
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert 700 < image.width < 2600
            assert 400 < image.height < 2000
            assert len(set(image.convert("L").resize((64, 64)).tobytes())) > 20, "not blank"
    assert not any("most confused" in title for title in titles if " d " in title)
    (large,) = [title for title in titles if "most confused" in title.replace("\n", " ")]
    shown, present = map(
        int,
        re.search(r"the (\d+) most confused of (\d+) symbols", large.replace("\n", " ")).groups(),
    )
    table = confusion(load_trace(shisen / "trace.jsonl").finished())
    assert shown == 12 < present == int((table.counts.sum(axis=1) > 0).sum())


def test_figures_need_matplotlib_and_analysis_does_not(tmp_path, monkeypatch):
    code = "import sys, vlmgym.evals as a; a.compare([]); print('matplotlib' in sys.modules)"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "False"
    )
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install .*\[train\]"):
        figures([], tmp_path)


# ---- statistics
def test_holm_by_hand():
    """Sorted: 0.005 * 4, 0.01 * 3, 0.03 * 2, 0.04 * 1, never less than the one before."""
    assert stats.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert stats.holm([0.9, 0.6]).tolist() == [1, 1]
    assert stats.holm([0.2]).tolist() == [0.2]
    assert stats.holm([]).size == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.001, 0.2))
def test_holm_rejects_what_the_step_down_procedure_rejects(p, alpha):
    rejected = set()
    for step, i in enumerate(np.argsort(p, kind="stable")):
        if p[i] * (len(p) - step) > alpha:
            break
        rejected.add(int(i))
    assert set(np.flatnonzero(stats.holm(p) <= alpha).tolist()) == rejected


@pytest.mark.parametrize("n", [1, 2, 5, 7])
def test_pass_at_k_is_the_share_of_draws_with_a_hit(n):
    for hits, k in itertools.product(range(n + 1), range(1, n + 1)):
        draws = [
            any(draw) for draw in itertools.combinations([True] * hits + [False] * (n - hits), k)
        ]
        assert stats.pass_at_k(n, hits, k) == pytest.approx(np.mean(draws))
    for wrong in ((n, n + 1, 1), (n, 0, 0), (n, 0, n + 1), (n, -1, 1)):
        with pytest.raises(ValueError, match="pass_at_k"):
            stats.pass_at_k(*wrong)


def test_icc_of_the_textbook_and_from_the_analysis_of_variance():
    table = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    assert round(stats.icc(table), 2) == 0.17, "Shrout and Fleiss 1979, table 4"
    rng = np.random.default_rng(3)
    for shape in ((2, 2), (9, 3), (30, 5)):
        values = rng.normal(size=shape) + rng.normal(size=(shape[0], 1))
        f = scipy_stats.f_oneway(*values).statistic
        assert stats.icc(values) == pytest.approx((f - 1) / (f + shape[1] - 1))
    assert stats.icc([[1, 1], [2, 2]]) == 1
    assert np.isnan(stats.icc([[3, 3], [3, 3]]))
    with pytest.raises(ValueError, match="2 rows"):
        stats.icc([[1, 2]])


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=8))
def test_paired_p_is_that_of_all_sign_flips(gaps):
    sums = [
        abs(sum(s * g for s, g in zip(signs, gaps, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(gaps))
    ]
    exact = np.mean([value >= abs(sum(gaps)) for value in sums])
    found = stats.paired(gaps, np.zeros(len(gaps)))
    assert found.p == pytest.approx(exact, abs=0.04)
    assert found.mean == pytest.approx(np.mean(gaps))
    assert found.low <= found.mean <= found.high or (len(set(gaps)) == 1 and np.isnan(found.low))


def test_bands_of_learning_curves_pass_over_what_is_missing():
    curves = np.array([[0.0, 1.0, np.nan], [1.0, 1.0, 4.0], [2.0, 1.0, np.nan]])
    mean, low, high = stats.band(curves)
    assert mean.tolist() == [1.0, 1.0, 4.0]
    assert (low[0], high[0]) == (0.0, 2.0)
    assert np.isnan([low[1], high[1]]).all(), "equal values without a range have no interval"
    assert np.isnan([low[2], high[2]]).all(), "one curve has no band"
