"""What an evaluation says of itself: before it starts, when it fails, and what makes its numbers doubtful."""

import csv
from dataclasses import replace

from parts.commands import eval_words
from parts.endpoint import Endpoint
from vlmgym.cli import main
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import load_trace
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.leaderboards import leaderboard, overview
from vlmgym.evals.settings import Evaluation
from vlmgym.evals.summaries import summary_of, warnings_of
from vlmgym.players.simple import Random


def test_nothing_is_written_before_all_players_can_be_asked(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    words = [
        "eval",
        "--player",
        "random",
        "--player",
        "api:m",
        "--protocol",
        "quick",
        "--out",
        str(tmp_path / "run"),
    ]
    assert main(words) == 2
    assert "OPENAI_API_KEY" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_an_evaluation_in_which_all_fails_is_no_success(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    words = eval_words(tmp_path, "--api", "retries=0", player="api:m")
    with Endpoint(share=1.0, faults=("500",)) as endpoint:
        assert main([*words, "--base-url", endpoint.url + "/v1"]) == 1
        said = capsys.readouterr().err
        assert "2 of 2 episodes failed: " in said
        assert "(2x). Run the same command to try them again." in said
    with Endpoint() as endpoint:
        assert main([*words, "--base-url", endpoint.url + "/v1"]) == 0
    assert "0 of 2" not in capsys.readouterr().out
    assert (tmp_path / "report.html").exists(), "one player on one game has a page, too"


def turns_of(folder, **values):
    trace = load_trace(folder / "trace.jsonl")
    return trace.run, [replace(turn, **values) for turn in trace.turns]


def test_what_makes_numbers_doubtful_is_said_with_what_to_do(tmp_path):
    task, how = Task(game="2048", level="tiny", look="tiny"), Evaluation(episodes=4, turns=4)
    evaluate(Random(), task, how, tmp_path, progress=False)
    run, turns = turns_of(tmp_path)
    assert warnings_of(run, turns) == []
    (cut,) = warnings_of(run, turns_of(tmp_path, usage={"finish": "length"})[1])
    assert cut == "16 of 16 replies were cut at the limit of new tokens: raise --max-new-tokens"
    (refused,) = warnings_of(run, turns_of(tmp_path, usage={"finish": "refusal"})[1])
    assert "16 of 16 replies were refused" in refused
    broken = {"reply": "<answer>1</answer>", "terms": {**turns[0].terms, "format": 0.0}}
    found = warnings_of(run, turns_of(tmp_path, reasoning="hm", **broken)[1])
    assert "the server takes <think> out" in found[0]
    assert "all 16 replies are equal" in found[1]
    other = {**broken, "reply": "<Final>1</Final>"}
    found = warnings_of(
        replace(run, reply="answer=final"), turns_of(tmp_path, reasoning="hm", **other)[1]
    )
    assert "16 of 16 replies begin with <final> while" in found[0], "whatever the blocks are called"
    assert (
        "none of 16 replies has the blocks" in warnings_of(run, turns_of(tmp_path, **broken)[1])[0]
    )
    assert warnings_of(replace(run, sees="nothing"), turns_of(tmp_path, **broken)[1]) == []
    summary = summary_of(run, turns_of(tmp_path, usage={"finish": "length"})[1], [], task, how)
    assert summary["counts"] == {"turns": 16, "cut": 16, "refused": 0}
    assert "cut" in overview({"x\x1b[31m": [summary]}, ["2048"])
    assert "\x1b" not in overview({"x\x1b[31m": [summary]}, ["2048"])


def test_cells_that_a_spreadsheet_would_run_are_texts(tmp_path):
    for number, name in enumerate(
        ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(1+1)", "\t=1", "plain"]
    ):
        player = Random(number)
        player.name = name
        evaluate(
            player,
            Task(game="2048", level="tiny", look="tiny"),
            Evaluation(episodes=2, turns=2),
            tmp_path / str(number),
            False,
        )
    leaderboard([tmp_path / str(number) for number in range(6)], tmp_path)
    with (tmp_path / "leaderboard.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert sum(row["player"].startswith("'") for row in rows) == 5
    assert all(float(row["reward"]) <= 2 for row in rows), "numbers stay numbers"
    assert {row["sees"] for row in rows} == {"state"}
    assert "given" in (tmp_path / "leaderboard.md").read_text()
