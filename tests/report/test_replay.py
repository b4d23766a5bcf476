"""The part of the report that steps through every turn, in a real browser."""

import json
import os

import numpy as np
import pytest

from parts.chromium import Chromium
from vlmgym.cli import main
from vlmgym.dialogue.perception import truth
from vlmgym.dialogue.reply import write_reply
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import load_trace
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.settings import Evaluation
from vlmgym.players.simple import Random, Scripted
from vlmgym.report.page import write_report
from vlmgym.report.replay import replay_data

EVIL = (
    "</script><script>document.title='owned'</script><img src=x "
    "onerror=\"document.title='owned'\"><!--"
)


def clumsy(game, state):
    """Sees one cell wrong and leaves one out, thinks in script tags, and moves as its luck has
    it.
    """
    lines = [line.split("|") for line in truth(game, state)[0].split("\n")]
    lines[0][0] = next(cell for line in lines for cell in line if cell != lines[0][0])
    lines[1].pop()
    action = int(np.random.default_rng(int(state.seed[0]) % 99 + int(state.steps[0])).integers(4))
    return write_reply("\n".join("|".join(line) for line in lines), EVIL, str(action))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("replay") / "run"
    how = Evaluation(episodes=5, turns=4)
    for game in ("2048", "Swap"):
        evaluate(
            Random(),
            Task(game=game, level="easy"),
            how,
            out / "eval" / "random" / game,
            progress=False,
        )
    player = Scripted(clumsy)
    player.name = "clumsy"
    evaluate(
        player,
        Task(game="2048", level="easy"),
        how,
        out / "eval" / "clumsy" / "2048",
        progress=False,
    )
    return out


def test_every_turn_is_there_with_what_was_seen_wrongly(run):
    folder = run / "eval" / "clumsy" / "2048"
    data = replay_data([("clumsy", "2048", folder)], progress=False)
    turns = load_trace(folder / "trace.jsonl").turns
    assert sorted(turn["reply"] for turn in data["turns"]) == sorted(turn.reply for turn in turns)
    assert all(len(turn["wrong"]) >= 2 for turn in data["turns"])
    assert all(
        said == -1 or said != true
        for turn in data["turns"]
        for (_, said), true in zip(turn["wrong"], turn["true"], strict=True)
    )
    assert sum(len(one["turns"]) for one in data["episodes"]) == len(turns)
    assert len(data["pictures"]) == len({turn.state for turn in turns})


@pytest.mark.skipif(
    os.environ.get("VLMGYM_NO_BROWSER") == "1", reason="left out by VLMGYM_NO_BROWSER"
)
def test_filters_keys_and_marks_in_a_browser_with_script_tags_in_replies(run):
    page = write_report(run)
    with Chromium(1280, 900) as browser:
        browser.open(f"file://{page}")
        browser.wait("document.querySelector('#replay svg') !== null")

        def text(selector):
            return browser.run(f"document.querySelector('#replay {selector}').textContent")

        choose = lambda key, value: browser.run(  # noqa: E731
            f"(()=>{{const s=document.getElementById('replay-{key}');"
            f"s.value=[...s.options].find(o=>o.text=='{value}').value;s.dispatchEvent(new "
            f"Event('change'))}})()"
        )
        assert text(".count") == "60 of 60 turns"
        choose("player", "clumsy")
        assert text(".count") == "20 of 60 turns"
        assert text(".where").startswith("clumsy, 2048, episode 0, turn 1")
        assert (
            browser.run("document.querySelectorAll('#replay svg rect[stroke=\"#d3261f\"]').length")
            >= 2
        )
        assert EVIL in text(".turn")
        browser.run(
            "document.getElementById('episodes').scrollIntoView();document.getElementById('replay').focus()"
        )
        browser.key("ArrowRight")
        assert "turn 2 of" in text(".where")
        browser.key("ArrowDown")
        assert "episode 1, turn 1" in text(".where")
        browser.key("ArrowUp")
        browser.key("ArrowLeft")
        assert "episode 0, turn 1" in text(".where")
        choose("fault", "all errors")
        faults = [turn.fault for turn in load_trace(run / "eval/clumsy/2048/trace.jsonl").turns]
        assert int(text(".count").split()[0]) == len(faults) - faults.count("none") > 0
        choose("fault", "all turns")
        choose("player", "all players")
        choose("task", "Swap")
        assert text(".count") == "20 of 60 turns"
        browser.run("document.getElementById('replay-words').value='no such words'")
        browser.run("document.getElementById('replay-words').dispatchEvent(new Event('input'))")
        browser.wait("document.querySelector('#replay .count').textContent == '0 of 60 turns'")
        assert "No turn passes" in text(".none")
        for width in (390, 800, 1600):
            browser.resize(width, 900)
            assert browser.run("document.documentElement.scrollWidth <= innerWidth")
        assert "owned" not in browser.run("document.title")
        assert browser.run("document.querySelectorAll('#replay img').length") == 0
        assert not browser.errors


def test_runs_are_merged_and_namesakes_told_apart(run, tmp_path):
    how = Evaluation(episodes=5, turns=4)
    evaluate(
        Random(salt=7), Task(game="2048", level="easy"), how, tmp_path / "other", progress=False
    )
    page = tmp_path / "page.html"
    assert main(["report", str(run), str(tmp_path / "other"), "--out", str(page)]) == 0
    block = page.read_text().partition('id="replay-data">')[2].partition("</script>")[0]
    data = json.loads(block)
    # by the folders of the runs
    assert set(data["players"]) == {"random (run)", "random (other)", "clumsy"}
    assert len(data["turns"]) == 60 + 20
