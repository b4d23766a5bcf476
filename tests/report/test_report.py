"""The report page: complete, true to its data, self-contained, safe against hostile text."""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vlmgym
from parts.report_page import (
    ATTACK,
    BAD_PLAYER,
    BROWSER,
    TASKS,
    Page,
    fill,
    percent,
    rewards,
    row,
    section,
    summary,
)
from vlmgym.cli import main
from vlmgym.core import VlmGymError
from vlmgym.evals import stats
from vlmgym.report.page import write_report


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def page(folder):
    return Page(write_report(folder))


def test_page_holds_every_section(page):
    sections = ["results", "index", "differences", "training", "faults", "turns", "episodes"]
    assert page.sections() == sections
    assert page.count("article") == 12
    assert {a["href"] for t, a in page.tags if t == "a"} == {f"#{key}" for key in page.sections()}
    assert page.count("div", "dots") == page.count("div", "stacks") == len(TASKS)
    for text in (
        "Reward while training",
        "Loss of the cold start",
        "2048: held-out success",
        "Recipe of G1",
    ):
        assert text in page.text


def test_page_is_self_contained_and_runs_nothing_but_its_own_script(page):
    assert page.count("link") == page.count("iframe") == page.count("img") == 0
    assert page.count("script") == 2, "the data, and what shows them"
    own = (Path(vlmgym.__file__).parent / "report" / "assets" / "replay.js").read_text(
        encoding="utf-8"
    )
    digest = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page.source
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes), tag
        for name in ("src", "href", "xlink:href", "srcset", "action"):
            assert attributes.get(name, "#").startswith(("#", "data:image/png;base64,")), (
                tag,
                name,
            )
    # the name of a name space, never fetched
    source = page.source.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|@import|url\((?!#)", source)
    assert "default-src 'none'" in page.source


def test_hostile_text_is_shown_as_text(page):
    assert ATTACK not in page.source
    assert BAD_PLAYER not in page.source
    assert page.text.count(ATTACK) >= 12
    assert BAD_PLAYER in page.text
    assert json.dumps({"a": [1, "<b>"]}) in page.text


def test_results_are_those_of_the_summaries(folder, page):
    for task in TASKS:
        for player, label in (("random", "random"), ("g0", "G0"), ("teacher", "teacher")):
            one = summary(folder, player, task.names.game)
            cells = ["".join(c) for c in row(section(page, "results"), task.names.game, label)]
            assert cells[0] == str(one["success"]["n"]) == "24"
            assert cells[1] == percent(one["success"]["mean"])
            assert cells[2] == (
                f"{percent(one['success']['low'])} to {percent(one['success']['high'])}"
            )
            assert cells[3].replace("−", "-") == f"{one['game']['mean']:+.2f}".replace(
                "+0.00", "0.00"
            )
            assert cells[5] == percent(one["format"]["mean"])
            assert cells[7] == percent(one["p_acc"]["mean"])
            assert (cells[8] == "given") == (player != "g0")
            assert cells[15] == f"{one['regret']['mean']:.2f}"
            assert (cells[12] == "given") == (player != "g0")
    assert "R_acc, %" in page.text
    # R_acc: it never described a board right
    assert "–" in ["".join(c) for c in row(section(page, "results"), "2048", "G0")]


def test_differences_are_paired_by_state(folder, page):
    part = section(page, "differences")
    for task in TASKS:
        a, b = rewards(folder, "g1", task.names.game), rewards(folder, "teacher", task.names.game)
        assert a.keys() == b.keys()
        want = stats.paired([a[s] for s in a], [b[s] for s in a])
        cells = [
            "".join(c).replace("−", "-").replace("&lt;", "<")
            for c in row(part, task.names.game, "G1 − teacher")
        ]
        assert cells[0] == f"{50 * want.mean:+.1f}"
        assert cells[1] == f"{50 * want.low:+.1f} to {50 * want.high:+.1f}"
        assert cells[2] == f"{want.mean:+.2f}"
        assert cells[4] == ("< 0.001" if want.p < 0.001 else f"{want.p:.3f}")
        assert cells[6] == "24"
    assert "cold start" not in part


def test_headline_says_what_the_data_say(folder, page):
    verdict = re.search(r'class="verdict">([^<]*)<', page.source)[1]
    above = [t.names.game for t in TASKS if _decided(folder, "g1", "teacher", t.names.game) > 0]
    assert above  # the oracle against a teacher that errs half of the time
    assert f"G1 is above the teacher on {' and '.join(above)}" in verdict
    assert "below" not in verdict


def _decided(folder, first, second, game):
    a, b = rewards(folder, first, game), rewards(folder, second, game)
    gap = stats.paired([a[s] for s in a], [b[s] for s in a])
    return (int(gap.low > 0) - int(gap.high < 0)) * int(gap.p < 0.05)


def copied(source, target, player):
    """An evaluation under the name of another player."""
    shutil.copytree(source, target)
    run, *rest = (target / "trace.jsonl").read_text().splitlines()
    lines = [json.dumps({**json.loads(run), "player": player, "identity": player}), *rest]
    (target / "trace.jsonl").write_text("\n".join(lines) + "\n")


def test_a_worse_or_equal_student_is_not_praised(folder, tmp_path):
    for name, source in (("g1", "random"), ("teacher", "g1")):
        copied(
            folder / "eval" / source / "ShisenSho",
            tmp_path / "worse" / "eval" / name / "ShisenSho",
            name,
        )
        copied(
            folder / "eval" / "random" / "ShisenSho",
            tmp_path / "same" / "eval" / name / "ShisenSho",
            name,
        )
    assert "G1 is below the teacher on ShisenSho." in write_report(tmp_path / "worse").read_text(
        encoding="utf-8"
    )
    assert "G1 cannot be told apart from the teacher on ShisenSho." in write_report(
        tmp_path / "same"
    ).read_text(encoding="utf-8")


def test_marks_stand_on_the_wrong_cells(page):
    cards = page.source.split("<article")[1:]
    for card in cards:
        boards = re.findall(r"<svg.*?</svg>", card)
        assert [b.count('class="wrong"') for b in boards] == [0, 1, 0]  # base, G0, G1
        assert [b.count('class="missing"') for b in boards] == [0, 1, 0]
        assert "row 0, column 0: " in boards[1]
        assert "row 1, column 1: " in boards[1]
        assert "described as not stated" in boards[1]
        assert "oracle" in card
        pictures = [base64.b64decode(x) for x in re.findall(r"base64,([^\"]+)", card)]
        assert len(set(pictures)) == 1
        assert Image.open(BytesIO(pictures[0])).size == (224, 224), (
            "the look that was played, enlarged"
        )
    assert "14 of 16 cells right" in page.text


def test_report_is_repeatable_and_the_command_writes_it(folder, page, tmp_path, capsys):
    assert (
        write_report(folder, tmp_path / "deep" / "x.html").read_text(encoding="utf-8")
        == page.source
    )
    assert main(["report", str(folder)]) == 0
    assert capsys.readouterr().out.strip() == str(folder / "report.html")


def test_missing_parts_are_left_out(folder, tmp_path):
    shutil.copytree(folder / "eval" / "base" / "2048", tmp_path / "one" / "eval" / "base" / "2048")
    one = Page(write_report(tmp_path / "one"))
    assert one.sections() == ["results", "faults", "turns", "episodes"]
    assert one.count("table", "facts") == 0
    # the trace alone gives the same numbers
    (tmp_path / "one" / "eval" / "base" / "2048" / "summary.json").unlink()
    again = Page(write_report(tmp_path / "one"))
    assert row(section(again, "results"), "2048", "base") == row(
        section(one, "results"), "2048", "base"
    )

    shutil.copytree(folder / "eval" / "base" / "2048", tmp_path / "two" / "eval" / "base" / "2048")
    (tmp_path / "two" / "eval" / "base" / "2048" / "trace.jsonl").unlink()
    assert Page(write_report(tmp_path / "two")).sections() == ["results", "faults"]

    shutil.copytree(folder / "g0", tmp_path / "three" / "g0")
    three = Page(write_report(tmp_path / "three"))
    assert three.sections() == ["training"]
    assert "Training curves only" in three.text


@pytest.mark.parametrize(
    "name",
    ["demo.json", "g0/metrics.jsonl", "eval/base/2048/summary.json", "eval/base/2048/trace.jsonl"],
)
def test_a_damaged_file_is_named(folder, tmp_path, name):
    shutil.copytree(folder / "g0", tmp_path / "g0")
    shutil.copytree(folder / "eval" / "base", tmp_path / "eval" / "base")
    (tmp_path / name).write_text("{damaged\n")
    with pytest.raises(VlmGymError, match=re.escape(name)):
        write_report(tmp_path)


def test_page_opens_in_a_browser(folder, page, tmp_path):
    if BROWSER is None:  # the parse has shown that all elements nest and close
        assert page.count("main") == 1
        return
    shot = tmp_path / "page.png"
    call = [
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
    ]
    call += [
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        f"--user-data-dir={tmp_path / 'profile'}",
    ]
    call += [
        "--enable-logging=stderr",
        "--window-size=400,2600",
        f"--screenshot={shot}",
        (folder / "report.html").as_uri(),
    ]
    done = subprocess.run(call, capture_output=True, text=True, timeout=120, check=True)
    # no errors, and nothing that the page's policy had to refuse
    assert "CONSOLE" not in done.stderr
    pixels = np.asarray(Image.open(shot).convert("RGB"))
    assert pixels.shape == (2600, 400, 3)
    for part in np.split(pixels, 4):  # something everywhere, not only at the top
        assert len(np.unique(part.reshape(-1, 3), axis=0)) > 20
        assert part.std() > 5


def test_half_characters_of_earlier_traces_break_nothing(folder, tmp_path, capsys):
    """Replies that were cut inside a character, as traces of earlier versions hold them: report,
    exports, film.
    """
    copied(folder / "eval" / "base" / "2048", tmp_path / "run", "base \ud83d")
    lines = (tmp_path / "run" / "trace.jsonl").read_text().splitlines()
    for k in (1, 2):
        turn = json.loads(lines[k])
        lines[k] = json.dumps({**turn, "reply": turn["reply"] + "\ud83d", "reasoning": "\udc00"})
    (tmp_path / "run" / "trace.jsonl").write_text("\n".join(lines) + "\n")
    page = Page(write_report(tmp_path / "run"))
    assert "base \ufffd" in page.text
    run = str(tmp_path / "run")
    for kind, out in (("turns", "turns.parquet"), ("sft", "sft"), ("grpo", "grpo")):
        assert (
            main(
                [
                    "export",
                    kind,
                    run,
                    "--out",
                    str(tmp_path / out),
                    *(["--only", "all"] if kind == "sft" else []),
                ]
            )
            == 0
        )
    assert (
        main(
            [
                "video",
                run,
                "--episode",
                str(json.loads(lines[1])["episode"]),
                "--out",
                str(tmp_path / "film.gif"),
            ]
        )
        == 0
    )
    capsys.readouterr()


def test_an_out_that_is_no_regular_file_is_refused_and_nothing_is_left(folder, tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    run = str(folder / "eval" / "base" / "2048")
    for out in ("pipe", "folder"):
        path = str(tmp_path / out)
        assert main(["report", run, "--out", path]) == 2
        assert main(["export", "turns", run, "--out", path]) == 2
        assert main(["video", run, "--out", path]) == 2
    assert main(["export", "sft", run, "--out", str(tmp_path / "pipe")]) == 2
    assert (tmp_path / "pipe").is_fifo()
    assert {path.name for path in tmp_path.iterdir()} == {"pipe", "folder"}
    capsys.readouterr()


def test_a_film_of_a_run_with_several_traces_asks_which(folder, tmp_path, capsys):
    assert main(["video", str(folder), "--out", str(tmp_path / "film.gif")]) == 2
    error = capsys.readouterr().err
    assert "there are 12: " in error
    assert "eval/base/2048" in error
    assert not list(tmp_path.iterdir())
