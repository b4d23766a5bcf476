"""Parts of the report page, each from a folder of its own."""

import json
import re

import numpy as np
import pytest

from parts.follower import Follower
from parts.report_page import HOW, TASKS, Page, blurred, row, section, summary
from vlmgym.core import VlmGymError
from vlmgym.dialogue.reply import write_reply
from vlmgym.episodes.task import Task
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.normalised import normalised_index
from vlmgym.evals.reading import load
from vlmgym.evals.settings import Evaluation
from vlmgym.players.simple import Oracle, Random, RandomLegal, Scripted
from vlmgym.report.page import write_report


def test_longer_episodes_are_reported(tmp_path):
    how = Evaluation(episodes=3, turns=4)
    for name, player in (("base", Random()), ("g0", Oracle())):
        player.name = name
        evaluate(player, TASKS[0], how, tmp_path / "eval" / name / "2048", progress=False)
    page = Page(write_report(tmp_path))
    assert page.sections() == ["results", "index", "differences", "faults", "turns", "episodes"]
    assert 1 <= page.count("article") <= 12
    reward = np.mean(
        [summary(tmp_path, p, "2048")["reward"]["mean"] * s for p, s in (("g0", 2), ("base", -2))]
    )
    assert (
        "".join(row(section(page, "differences"), "2048", "G0 − base")[2]).replace("−", "-")
        == f"{reward:+.2f}"
    )
    assert "for up to 4 turns" in page.text


def test_the_page_shows_the_index_where_random_and_oracle_were_asked(tmp_path):
    how = Evaluation(episodes=6, turns=1, start="walk")
    for player in (Random(), Oracle(), RandomLegal()):
        evaluate(player, TASKS[0], how, tmp_path / "eval" / player.name / "2048", progress=False)
    page = Page(write_report(tmp_path))
    assert "index" in page.sections()
    (index,) = [
        index
        for index in normalised_index(load(tmp_path.glob("eval/*/2048"))).players
        if index.player == "random-legal"
    ]
    shown = section(page, "index")
    assert f"{index.overall.mean:.2f}".replace("-", "\u2212") in shown
    assert "random-legal" in shown


def test_nothing_to_report_is_a_clear_error(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(VlmGymError, match=r"nothing to report; expected eval/PLAYER/GAME/"):
            write_report(path)
        assert not (path / "report.html").exists()


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


def test_the_page_says_beside_the_faults_whose_think_block_does_not_follow_its_description(
    tmp_path,
):
    how = Evaluation(episodes=6, turns=1, start="walk", observation="swapped")
    folders = []
    for name, reads in (("looks", "picture"), ("reads", "description")):
        player = Follower(reads)
        player.name = name
        folders.append(tmp_path / name)
        evaluate(player, TASKS[1], how, folders[-1], progress=False)
    part = section(Page(write_report(folders, progress=False)), "faults")
    assert "looks: its think block is not shown to read the description (follows = 0.00" in part
    assert "reads: its think block" not in part
    assert "Judged by an earlier version" not in part


def test_the_page_says_which_evaluations_count_misread_tiles_as_reasoning(tmp_path):
    for name in ("old", "new"):
        player = Random()
        player.name = name
        evaluate(player, TASKS[0], HOW, tmp_path / name, progress=False)
    trace = tmp_path / "old" / "trace.jsonl"
    trace.write_text(trace.read_text().replace(',"attribution":2', "", 1))
    page = Page(write_report([tmp_path / "old", tmp_path / "new"], progress=False))
    part = section(page, "faults")
    assert "misread stands under reasoning: old on 2048 (vlmgym rescore" in part


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
