"""The main job, shrunk to a few steps: every stage runs, a second call keeps what is finished, a
stopped one goes on.
"""

import json

import pytest

from vlmgym.apps import demo
from vlmgym.apps.demo import StageError, run_demo
from vlmgym.cli import main
from vlmgym.train.callbacks import read_metrics


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo")
    assert main(["demo", "--quick", "--out", str(out)]) == 0
    return out


def test_all_stages_leave_their_results(finished):
    for player in ("random", "oracle", "teacher", "search", "base", "g0", "cold", "g1"):
        for game in ("2048", "ShisenSho", "ShisenShoPhotos", "Swap"):
            summary = json.loads((finished / "eval" / player / game / "summary.json").read_text())
            assert summary["metrics"]["success"]["n"] == 8
    for run, stages in (("g0", {"grpo"}), ("g1", {"sft", "grpo"})):
        metrics = read_metrics(finished / run / "metrics.jsonl")
        assert {line["stage"] for line in metrics} == stages
        assert [line["step"] for line in metrics if "reward" in line] == [1, 2]
        assert (finished / run / "final" / "model.safetensors").exists()
    assert (finished / "g1" / "cold" / "model.safetensors").exists()
    assert "This teacher has a habit" in (finished / "report.html").read_text()
    assert "<html" in (finished / "report.html").read_text()[:300].lower()
    meta = json.loads((finished / "demo.json").read_text())
    assert meta["command"] == "make demo"
    assert meta["minutes"] > 0


def test_a_second_call_keeps_finished_stages(finished, capsys):
    watched = [
        *finished.rglob("summary.json"),
        *finished.rglob("model.safetensors"),
        *finished.rglob("metrics.jsonl"),
    ]
    checks = 2 * 2 * 4  # of two runs, before and after, on four games
    assert len(watched) == 32 + checks + 3 + 2
    before = {path: path.stat().st_mtime_ns for path in watched}
    assert run_demo(finished, quick=True) == 0
    assert {path: path.stat().st_mtime_ns for path in watched} == before
    shown = capsys.readouterr().out
    assert str(finished / "report.html") in shown
    assert "temperature 0" in shown
    assert "teacher:0" in shown
    assert "Where teacher:near fails" in shown


def test_a_failing_training_names_its_log(finished, tmp_path):
    (tmp_path / "eval").symlink_to(finished / "eval")
    (tmp_path / "g0").mkdir()
    (tmp_path / "g0" / "recipe.json").write_text("{}")  # a run of another recipe lies there
    with pytest.raises(StageError, match=r"g0.*log"):
        run_demo(tmp_path, quick=True)
    assert "name another folder" in (tmp_path / "g0.log").read_text()


def test_a_torn_clock_and_a_clock_that_is_set_back_do_no_harm(tmp_path, monkeypatch, capsys):
    path = tmp_path / "seconds.json"
    path.write_text("")  # a full disk, or an end at the wrong moment
    monkeypatch.setattr(demo.time, "time", lambda: -7200.0)
    with demo._clock(path):
        pass
    assert "no JSON" in capsys.readouterr().err
    first = json.loads(path.read_text())
    with demo._clock(path):
        pass
    assert 0 <= first <= json.loads(path.read_text()) < 60
