"""The report page: complete, true to its data, self-contained, safe against hostile text, and
without parts that are missing.
"""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vlmgym
from vlmgym.cli import main
from vlmgym.core import VlmGymError
from vlmgym.dialogue.perception import truth
from vlmgym.dialogue.reply import write_reply
from vlmgym.episodes.records import Turn
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import read_trace
from vlmgym.evals import stats
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.settings import Evaluation
from vlmgym.players.simple import Oracle, Random, Scripted
from vlmgym.players.teacher import Teacher
from vlmgym.report.page import write_report

TASKS = (
    Task(game="2048", level="tiny", look="tiny", walk_min=4, walk_max=60),
    Task(game="ShisenSho", level="tiny", look="tiny", walk_max=5, walk_legal=True),
)
HOW = Evaluation(episodes=24, turns=1, start="walk")
ATTACK = "<script>alert(1)</script>"
BAD_PLAYER = "<img src=x onerror=alert(1)>"
BROWSER = next(
    (
        p
        for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))
        if p
    ),
    None,
)


def blurred(game, state):
    """A reply with one cell described wrongly, one not at all, and markup in its think text."""
    rows = [line.split("|") for line in truth(game, state)[0].split("\n")]
    wrong = next(n for n in game.scene(state).names[1:] if n != rows[0][0])
    rows[0][0], rows[1][1] = wrong, "???"
    text = "\n".join("|".join(row) for row in rows)
    return write_reply(
        text, ATTACK, game.encode(state.level, int(state.seed[0]) % game.n_actions(state.level))
    )


def fill(folder: Path) -> Path:
    players = {
        "random": Random(),
        "base": Random(salt=1),
        "g0": Scripted(blurred),
        "g1": Oracle(),
        "teacher": Teacher(0.5),
        BAD_PLAYER: Scripted(ATTACK),
    }
    for name, player in players.items():
        player.name = name
        for task in TASKS:
            evaluate(player, task, HOW, folder / "eval" / name / task.names.game, progress=False)
    for run in ("g0", "g1"):
        lines = (
            [{"stage": "sft", "step": s, "loss": 1 / s} for s in range(1, 9)] if run == "g1" else []
        )
        for s in range(1, 31):
            lines.append(
                {
                    "stage": "grpo",
                    "step": s,
                    "reward": s / 30,
                    "success": 0.5,
                    "p_acc": 0.8,
                    "r_acc": s / 60,
                }
            )
            if s % 10 == 0:
                lines.append(
                    {
                        "stage": "grpo",
                        "step": s,
                        "check/2048/success": 0.25,
                        "check/2048/p_acc": 0.75,
                    }
                )
        lines[-2]["r_acc"] = float("nan")
        (folder / run).mkdir()
        (folder / run / "metrics.jsonl").write_text(
            "".join(json.dumps(x) + "\n" for x in lines) + '{"torn": '
        )
        (folder / run / "recipe.json").write_text(json.dumps({"model": ATTACK}))
    (folder / "demo.json").write_text(
        json.dumps({"command": ATTACK, "odd & new": {"a": [1, "<b>"]}, "seed": 7})
    )
    return folder


class Page(HTMLParser):
    """All tags with their attributes, the texts, and whether every element is closed in order."""

    VOID = ("meta",)

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.tags, self.stack, self.texts, self.ids = [], [], [], []
        self.feed(self.source)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        if self.stack and self.stack[-1] != "style":
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(self.texts)

    def count(self, tag, cls=None):
        return sum(
            t == tag and (cls is None or cls in (a.get("class") or "").split())
            for t, a in self.tags
        )

    def sections(self):
        return [a["id"] for t, a in self.tags if t == "section"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def page(folder):
    return Page(write_report(folder))


def summary(folder, player, game):
    return json.loads((folder / "eval" / player / game / "summary.json").read_text())["metrics"]


def rewards(folder, player, game):
    records = read_trace(folder / "eval" / player / game / "trace.jsonl")
    return {t.seed: t.terms["game"] for t in records if isinstance(t, Turn)}


def section(page, key):
    return page.source.split(f'<section id="{key}">')[1].split("</section>")[0]


def percent(share):
    return f"{100 * share:.1f}"


def row(part, game, heading):
    """The texts of the cells of a table row in the part of a game, without tags."""
    part = part.split(f"<h3>{game}</h3>")[1].split("</table>")[0]
    line = next(x for x in part.split("<tr>") if f"{heading}</th>" in x)
    return re.findall(r"<(?:b|small)>([^<]*)<|<td>([^<]+)</td>", line)


def test_page_holds_every_section(page):
    assert page.sections() == ["results", "differences", "training", "faults", "turns", "episodes"]
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


def test_longer_episodes_are_reported(tmp_path):
    how = Evaluation(episodes=3, turns=4)
    for name, player in (("base", Random()), ("g0", Oracle())):
        player.name = name
        evaluate(player, TASKS[0], how, tmp_path / "eval" / name / "2048", progress=False)
    page = Page(write_report(tmp_path))
    assert page.sections() == ["results", "differences", "faults", "turns", "episodes"]
    assert 1 <= page.count("article") <= 12
    reward = np.mean(
        [summary(tmp_path, p, "2048")["reward"]["mean"] * s for p, s in (("g0", 2), ("base", -2))]
    )
    assert (
        "".join(row(section(page, "differences"), "2048", "G0 − base")[2]).replace("−", "-")
        == f"{reward:+.2f}"
    )
    assert "for up to 4 turns" in page.text


def test_nothing_to_report_is_a_clear_error(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(VlmGymError, match=r"nothing to report; expected eval/PLAYER/GAME/"):
            write_report(path)
        assert not (path / "report.html").exists()


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


def test_players_of_any_name_are_compared(tmp_path):
    how = Evaluation(episodes=60, turns=4)
    for name, player in (("model-a", Random()), ("model-b", Oracle()), ("random", Random(3))):
        player.name = name
        evaluate(player, TASKS[0], how, tmp_path / "eval" / name / "2048", progress=False)
    page = Page(write_report(tmp_path))
    part = section(page, "differences")
    assert [
        label in part for label in ("model-a − model-b", "model-a − random", "model-b − random")
    ] == [True] * 3
    verdict = re.search(r'class="verdict">([^<]*)<', page.source)[1]
    assert verdict == "Model-a is below model-b on 2048."


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


def test_cut_and_refused_replies_and_the_chance_of_cells_are_told(tmp_path):
    evaluate(Scripted(blurred), TASKS[0], HOW, tmp_path, progress=False)
    lines = (tmp_path / "trace.jsonl").read_text().splitlines()
    for k, word in ((1, "length"), (2, "length"), (3, "refusal")):
        turn = json.loads(lines[k])
        lines[k] = json.dumps({**turn, "usage": {**turn["usage"], "finish": word}})
    (tmp_path / "trace.jsonl").write_text("\n".join(lines) + "\n")
    text = Page(write_report(tmp_path)).text
    assert "replies that were cut at the limit of tokens: scripted 2 of 24." in text
    assert "replies that are refusals: scripted 1 of 24." in text
    assert re.search(r"; chance [0-9.]+", text)
    assert "is not tested" in text, "what attribution does not tell"


def test_a_folder_that_is_not_there_is_said_and_not_left_out(tmp_path):
    there = tmp_path / "there"
    evaluate(Random(), Task("Swap"), Evaluation(episodes=1, turns=1), there, progress=False)
    with pytest.raises(VlmGymError, match=r"their.*allowed is a folder that is there"):
        write_report([there, tmp_path / "their"], progress=False)
    assert not (there / "report.html").exists()


def test_repetitions_of_a_start_are_one_value_of_the_report_as_of_every_table(tmp_path):
    how = Evaluation(episodes=8, turns=1, start="walk", repeats=2)
    asked = iter(range(1000))

    def now_and_then(game, state):
        good = int(np.argmax(game.success_mask(state)[0]))
        return write_reply("", "", game.encode(state.level, good)) if next(asked) % 2 else "nothing"

    for name, player in (("model-a", Scripted(now_and_then)), ("model-b", Scripted("nothing"))):
        player.name = name
        evaluate(player, TASKS[1], how, tmp_path / "eval" / name / "ShisenSho", progress=False)
    page = Page(write_report(tmp_path, progress=False))
    whole = row(section(page, "results"), "ShisenSho", "model-a")
    cells = [
        "".join(cell)
        for cell in row(section(page, "differences"), "ShisenSho", "model-a − model-b")
    ]
    assert (cells[0], cells[-1]) == ("+50.0", "8"), "one of two answers to each start is right"
    (tmp_path / "eval" / "model-a" / "ShisenSho" / "summary.json").unlink()
    alone = row(
        section(Page(write_report(tmp_path, progress=False)), "results"), "ShisenSho", "model-a"
    )
    assert alone == whole, "the trace alone has as many starts"
    assert "".join(whole[0]) == "8"


def test_regret_that_was_not_recorded_is_not_shown_as_none(tmp_path):
    how = Evaluation(episodes=4, turns=1, oracle=False)
    evaluate(Random(), TASKS[0], how, tmp_path, progress=False)
    pages = [Page(write_report(tmp_path, progress=False))]
    (tmp_path / "summary.json").unlink()
    pages.append(Page(write_report(tmp_path, progress=False)))
    for page in pages:
        cells = ["".join(cell) for cell in row(section(page, "results"), "2048", "random")]
        assert cells[-2:] == ["–", "not measured"]
