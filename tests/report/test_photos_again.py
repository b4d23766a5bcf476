"""Photographs that a trace names are opened again only from a path that was given, and never
replaced by others.
"""

import json
import os

import numpy as np
import pytest
from PIL import Image

from vlmgym.cli import main
from vlmgym.core import ConfigError
from vlmgym.episodes.records import EvaluationRun
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import load_trace
from vlmgym.episodes.trace_looks import look_of
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.settings import Evaluation
from vlmgym.players.simple import Random
from vlmgym.report.page import write_report

HOW = Evaluation(episodes=2, turns=2)


def folder_of_classes(path, names):
    """A folder with two plain pictures a class, each class of its own colour."""
    for k, name in enumerate(names):
        (path / name).mkdir(parents=True)
        for j in range(2):
            Image.fromarray(np.full((24, 24, 3), (20 * k, 200 - 20 * k, 60 * j), np.uint8)).save(
                path / name / f"{j}.png"
            )
    return path


@pytest.fixture(scope="module", params=["cat,dog,cow,owl", "digits"])
def played(request, tmp_path_factory):
    """An evaluation on own photographs, one of them under the names of the bundled digits; the run,
    and the photographs.
    """
    root = tmp_path_factory.mktemp("photos")
    names = [str(d) for d in range(10)] if request.param == "digits" else request.param.split(",")
    photos = folder_of_classes(root / "own", names)
    task = Task(
        game="ShisenShoPhotos", level=f"tiny:classes={request.param}", look=f"tiny:photos={photos}"
    )
    evaluate(Random(), task, HOW, root / "run", progress=False)
    return root / "run", photos


def test_the_report_says_which_photographs_it_needs_and_draws_them_when_they_are_given(
    played, tmp_path, capsys
):
    run, photos = played
    without = write_report(run, tmp_path / "without.html").read_text()
    assert "The picture cannot be drawn: --photos" in without
    assert str(photos) in without
    assert (
        main(["report", str(run), "--out", str(tmp_path / "with.html"), "--photos", str(photos)])
        == 0
    )
    given = (tmp_path / "with.html").read_text()
    assert "The picture cannot be drawn" not in given
    assert given != without
    moved = tmp_path / "moved"
    os.symlink(photos, moved)
    assert (
        "The picture cannot be drawn"
        not in write_report(run, tmp_path / "moved.html", photos=[moved]).read_text()
    )
    capsys.readouterr()


def test_boards_that_cannot_be_drawn_are_said_on_the_terminal_too(played, tmp_path, capsys):
    run, _ = played
    other = folder_of_classes(tmp_path / "other", ["tree", "house"])
    for photos, said in (
        ([], "--photos = []"),
        (["--photos", str(other)], "no picture of the class"),
    ):
        assert main(["report", str(run), "--out", str(tmp_path / "page.html"), *photos]) == 0
        warning = capsys.readouterr().err
        assert "are not drawn" in warning
        assert said in warning


@pytest.mark.parametrize("command", ["report", "video", "export sft", "export grpo"])
def test_a_path_of_photographs_that_is_not_there_is_refused(played, command, tmp_path, capsys):
    nowhere = str(tmp_path / "nowhere")
    assert (
        main(
            [
                *command.split(),
                str(played[0]),
                "--out",
                str(tmp_path / "out.gif"),
                "--photos",
                nowhere,
            ]
        )
        == 2
    )
    assert f"--photos = '{nowhere}': allowed is" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_films_and_data_sets_need_the_path_as_well(played, tmp_path, capsys):
    run, photos = played
    assert main(["video", str(run), "--out", str(tmp_path / "film.gif")]) == 2
    assert "--photos" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert (
        main(["video", str(run), "--out", str(tmp_path / "film.gif"), "--photos", str(photos)]) == 0
    )
    assert [path.name for path in tmp_path.iterdir()] == ["film.gif"]
    assert main(["export", "grpo", str(run), "--out", str(tmp_path / "rows")]) == 2
    assert "--photos" in capsys.readouterr().err


def test_a_path_of_a_foreign_trace_is_not_opened(tmp_path, monkeypatch):
    """Neither a pipe nor a device nor anything else that a trace names."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", "/etc/passwd"):
        for game in ("ShisenShoPhotos", "Jigsaw"):
            run = EvaluationRun("x", game, "tiny", f"tiny:photos={path}")
            with pytest.raises(ConfigError, match="--photos"):
                look_of(run)
            with pytest.raises(ConfigError, match="--photos"):
                look_of(run, [tmp_path, tmp_path / "other"])
        plain = EvaluationRun("x", "Swap", "easy", f"clean:photos={path}")
        assert look_of(plain).photos == "auto", "a game without photographs needs none"
    evaluate(
        Random(),
        Task(game="ShisenShoPhotos", level="tiny", look="tiny"),
        HOW,
        tmp_path / "run",
        progress=False,
    )
    lines = (tmp_path / "run" / "trace.jsonl").read_text().splitlines()
    run = {**json.loads(lines[0]), "look": f"tiny:photos={tmp_path / 'pipe'}"}
    (tmp_path / "run" / "trace.jsonl").write_text("\n".join([json.dumps(run), *lines[1:]]) + "\n")
    assert "cannot be drawn" in write_report(tmp_path / "run").read_text(), (
        "and it does not wait for a writer"
    )
    assert load_trace(tmp_path / "run" / "trace.jsonl").run.look == run["look"]


def test_bundled_digits_are_drawn_without_a_path(tmp_path):
    evaluate(
        Random(),
        Task(game="ShisenShoPhotos", level="tiny", look="tiny"),
        HOW,
        tmp_path,
        progress=False,
    )
    assert "The picture cannot be drawn" not in write_report(tmp_path).read_text()
