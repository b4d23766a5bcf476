"""Difficulty curves, and the sweeps that they are drawn from."""

import json

import numpy as np
import pytest

from parts.evaluations import run
from vlmgym.core import ConfigError
from vlmgym.evals.curves import curve, sweep
from vlmgym.evals.settings import Evaluation
from vlmgym.players.simple import Oracle, Random
from vlmgym.render.looks import LOOKS


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
