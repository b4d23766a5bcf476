"""Other names of the blocks, all the way: asked, answered, written down, read back, shown and made
into training data.
"""

import json
from dataclasses import asdict

import pytest

from vlmgym.core import ConfigError
from vlmgym.dialogue.reply import BLOCKS, Blocks, parse, write_reply
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import load_trace
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.rescoring import rescore
from vlmgym.evals.settings import Evaluation, batch_of, starts
from vlmgym.players.base import Query
from vlmgym.players.beginner import Beginner
from vlmgym.players.simple import RandomLegal, Scripted
from vlmgym.players.teacher import Teacher
from vlmgym.train.rows import rows

OTHERS = Blocks("seen", "reasoning", "move")
TASK = Task(game="Swap", level="easy", reply=str(OTHERS))
HOW = Evaluation(episodes=3, turns=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("blocks")
    evaluate(Teacher(0.0), TASK, HOW, out, progress=False)
    return out


def test_a_task_takes_the_names_as_a_text_or_a_mapping():
    assert TASK.blocks == OTHERS
    assert Task.parse({"game": "Swap", "level": "easy", "reply": asdict(OTHERS)}) == TASK
    assert (
        Task.parse({"reply": {"think": "reasoning"}}).reply
        == "perception=perception,think=reasoning,answer=answer"
    )
    assert Task(reply="perception=perception").reply == "", "the usual names have one form"
    with pytest.raises(ConfigError, match=r"reply\.think"):
        Task(reply="think=<b>")


@pytest.mark.parametrize(
    "player", [Teacher(0.0), RandomLegal(), Beginner()], ids=lambda one: one.name
)
def test_players_that_write_replies_use_the_names(player):
    lane = batch_of(TASK, HOW, starts(TASK, HOW))
    query = lane.query(lane.live())
    assert "<reasoning>" in query.conversation(0)[0][1][1]
    (replies,) = player.answer([query])
    for reply in replies:
        read = parse(lane.game, lane.state.level, reply, blocks=OTHERS)
        assert read.well_formed
        assert "<think>" not in reply
    (usual,) = player.answer([Query(query.game, query.state, query.look)])
    assert all(parse(lane.game, lane.state.level, reply).well_formed for reply in usual)


def test_a_trace_knows_its_names_and_is_judged_by_them(folder, tmp_path):
    trace = load_trace(folder / "trace.jsonl")
    assert trace.run.reply == str(OTHERS)
    assert all(turn.terms["format"] == 1 and turn.p_acc for turn in trace.turns)
    assert json.loads((folder / "summary.json").read_text())["task"]["reply"] == str(OTHERS)
    again = rescore(folder, tmp_path / "again")
    assert again["metrics"]["format"]["mean"] == 1
    assert load_trace(tmp_path / "again" / "trace.jsonl").turns == trace.turns
    line, *rest = (folder / "trace.jsonl").read_text().splitlines()
    run = json.loads(line)
    del run["reply"]
    (tmp_path / "trace.jsonl").write_text("\n".join([json.dumps(run), *rest]) + "\n")
    assert load_trace(tmp_path / "trace.jsonl").run.reply == "", (
        "an earlier version's trace has the usual names"
    )


def test_prefilled_replies_begin_with_the_named_block(folder):
    lane = batch_of(
        TASK, Evaluation(episodes=1, observation="prefill"), starts(TASK, Evaluation(episodes=1))
    )
    (begun,) = lane.query(lane.live()).begun
    assert begun.startswith("<seen>")
    assert begun.endswith("</seen>")


def test_training_rows_ask_by_the_names_and_keep_them():
    state = TASK.states("train", 1)
    (row,) = rows(TASK, state, ["x"])
    assert "<reasoning>" in row["prompt"][0]["content"][1]["text"]
    assert row["reply"] == str(OTHERS)


def test_the_usual_names_change_nothing(tmp_path):
    """Prompts and replies of a task without names are those of a task before names could be
    chosen.
    """
    plain = Task(game="Swap", level="easy")
    lane = batch_of(plain, HOW, starts(plain, HOW))
    text = lane.query(lane.live()).conversation(0)[0][1][1]
    assert text.count("<perception>") == text.count("<think>") == text.count("<answer>") == 1
    evaluate(Scripted(write_reply("x", "y", "(0, 0) (0, 1)")), plain, HOW, tmp_path, progress=False)
    assert load_trace(tmp_path / "trace.jsonl").run.reply == ""


def test_blocks_are_written_found_and_taken_out_by_one_hand():
    reply = write_reply("a | b", "1 up; so 1", "1")
    assert [BLOCKS.inside(name, reply) for name in BLOCKS.names] == ["a | b", "1 up; so 1", "1"]
    assert BLOCKS.without("think", reply) == "<perception>a | b</perception><answer>1</answer>"
    assert BLOCKS.inside("think", "<think>no end") is None
    assert BLOCKS.inside("think", "</think><think>") is None
    assert BLOCKS.without("think", "<think>no end") == "<think>no end"
    assert Blocks.inside("why", write_reply("a", "b", "c", Blocks(think="why"))) == "b"
