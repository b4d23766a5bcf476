"""Figures of every kind."""

import re
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from parts.evaluations import NASTY, describer, named, next_symbol, run
from vlmgym.core import ConfigError, MissingExtra
from vlmgym.episodes.trace import load_trace
from vlmgym.evals.confusions import confusion
from vlmgym.evals.settings import Evaluation
from vlmgym.players.simple import Scripted
from vlmgym.report.plots import figures


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


def test_figures_of_nothing_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"^folders = 'none': allowed is at least one folder"):
        figures([], tmp_path / "out")
    assert not (tmp_path / "out").exists()


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
