"""Studies: jobs in their order, stopped and gone on with, and the report; all with two steps and a
few states.
"""

import json
import re
import signal

import pytest

from parts.studies import SMALL
from vlmgym.cli import main
from vlmgym.core import ConfigError
from vlmgym.core.files import BusyError, only_process
from vlmgym.evals.estimates import Estimate
from vlmgym.studies import runner
from vlmgym.studies.jobs import is_done, run_job
from vlmgym.studies.results import StudyResults
from vlmgym.studies.runner import JobError, run_study
from vlmgym.studies.schedule import jobs_of, jobs_wanted
from vlmgym.studies.sections import SECTIONS
from vlmgym.studies.study import read_study
from vlmgym.train.callbacks import read_metrics


@pytest.fixture(scope="module")
def study_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "small.yaml"
    path.write_text(SMALL)
    return path


HERE = (
    "train/*-swap/*",
    "evaluate/*-swap.*",
    "train/*-turned/3",
    "evaluate/*-turned.3",
    "evaluate/random",
    "evaluate/oracle",
    "evaluate/teacher*",
    "evaluate/base",
)
"""Jobs that this process does, which spares as many starts of Python; the others are left to the
scheduler.
"""


@pytest.fixture(scope="module")
def finished(study_file):
    out = study_file.parent / "out"
    for job in jobs_wanted(read_study(str(study_file)), HERE):
        run_job(read_study(str(study_file)), out, job.name)
    assert main(["reproduce", "--study", str(study_file), "--out", str(out)]) == 0
    return out


def test_every_job_is_done_in_its_order(study_file, finished):
    lines = [json.loads(line) for line in (finished / "jobs.jsonl").read_text().splitlines()]
    assert all(line["done"] for line in lines)
    names = [line["job"] for line in lines]
    whole, here = (
        read_study(str(study_file)),
        {job.name for job in jobs_wanted(read_study(str(study_file)), HERE)},
    )
    assert sorted(names) == sorted(job.name for job in jobs_of(whole) if job.name not in here)
    begun = {line["job"]: line["begin"] for line in lines}
    ended = {line["job"]: line["begin"] + line["seconds"] for line in lines}
    for job in jobs_of(whole):
        if job.name not in here:
            assert all(
                ended[other] <= begun[job.name] + 0.2 for other in job.needs if other not in here
            ), job
    for seed in ("0", "3"):
        recipe = json.loads((finished / "runs" / "g1-swap" / seed / "recipe.json").read_text())
        assert recipe["model"] == str((finished / "runs" / "cold-swap" / seed / "cold").resolve())
        assert (recipe["grpo"]["seed"], recipe["grpo"]["prefill"]) == (int(seed), True)


def test_the_report_holds_plan_verdicts_tables_and_pictures(finished):
    text = (finished / "report.md").read_text()
    stored = json.loads((finished / "study.json").read_text())
    results = json.loads((finished / "results.json").read_text())
    assert text.startswith("# Does G1 beat its teacher on Swap?")
    assert f"**Frozen 2026-11-28**, hash `{stored['hashes'][0]}`" in text
    assert results["hashes"] == stored["hashes"]
    assert "No amendments." in text
    assert re.search(r"\*\*alike\*\*: .* \| equal within 5.0 \| .* \| \*\*not decided\*\* \|", text)
    assert "| teacher | 2 seeds x 4 starts: not known, the plan names no power for score |" in text
    assert "CANNOT decide equality within 0.05" in text
    assert "### episodes-swap: temperature 1, 4 starts from 100000 of test" in text
    assert "### states: greedy (temperature 0), 4 starts from 100000 of test" in text
    assert f"| {runner.this_machine()} | " in text
    assert "Intervals cover 2 training seeds and the held-out starts" in text
    assert "nan" not in text
    drawn = re.findall(r"\]\((\w+\.png)\)", text)
    assert drawn == ["claims.png", "scores.png", "training.png"]
    for name in drawn:
        assert (finished / name).stat().st_size > 5000
    assert [claim["name"] for claim in results["claims"]] == ["teacher", "alike", "way"]
    assert results["values"]["episodes-swap"]["Swap"]["oracle"]["score"]["n"] == 4
    assert results["curves"]["g1-swap"]["Swap"]["steps"] == [0, 1, 2]


def test_no_fault_is_laid_on_a_block_of_a_model_that_is_not_shown_to_read_its_description(finished):
    text = (finished / "report.md").read_text()
    assert re.search(r"- base: refused, .* \(follows = (0.0\d|-)", text)
    assert "refused, `follows` was not measured" in text
    assert "perception, % |" not in text
    results = StudyResults(read_study(str(finished.parent / "small.yaml")), finished)
    results.follows = lambda: {"base": Estimate(0.95, 0.9, 1.0, 40)}
    section = SECTIONS["Perception or reasoning"](results, [])
    assert "| base | states | Swap |" in section
    assert "perception, % |" in section


def test_checks_keep_their_traces(finished):
    run = finished / "runs" / "g1-swap" / "0"
    assert sorted(path.name for path in (run / "checks").iterdir()) == [
        "000000",
        "000001",
        "000002",
    ]
    logged = [
        line["check/Swap/success"]
        for line in read_metrics(run / "metrics.jsonl")
        if "check/Swap/success" in line
    ]
    kept = [
        json.loads((run / "checks" / step / "Swap" / "summary.json").read_text())
        for step in ("000000", "000001", "000002")
    ]
    assert logged == [one["metrics"]["success"]["mean"] for one in kept]
    trained = [line for line in read_metrics(run / "metrics.jsonl") if "reward" in line]
    assert [line["p_acc"] for line in trained] == [1, 1], (
        "answers that begin with the truth are right about the board"
    )
    steps, table = StudyResults(read_study(str(finished.parent / "small.yaml")), finished).curve(
        "g1-swap", "Swap", "success"
    )
    assert steps.tolist() == [0, 1, 2]
    assert table[0].tolist() == logged


def test_a_second_call_does_nothing_and_another_study_is_refused(study_file, finished):
    before = (finished / "jobs.jsonl").read_text()
    run_study(str(study_file), finished)
    assert (finished / "jobs.jsonl").read_text() == before
    message = (
        r"study.json: seeds = \[0\]: allowed is \[0, 3\], .*as in the study there; or name another"
    )
    with pytest.raises(ConfigError, match=message):
        run_study(str(study_file), finished, quick=True)


def test_a_folder_whose_jobs_another_process_does_is_refused(study_file, tmp_path):
    with only_process(tmp_path, "x"), pytest.raises(BusyError, match="reproduces there"):
        run_study(str(study_file), tmp_path, only=["evaluate/oracle"])
    assert not (tmp_path / "jobs.jsonl").exists()


def test_jobs_are_listed_and_one_can_be_done_alone(study_file, tmp_path, capsys):
    call = ["reproduce", "--study", str(study_file), "--quick", "--out", str(tmp_path)]
    assert main([*call, "--list"]) == 0
    listed = capsys.readouterr().out
    assert "claim alike: 1 seeds x 4 starts: CANNOT decide equality within 0.05" in listed
    assert "train/g1-swap/0" in listed
    assert "train/cold-swap/0" in listed.split("train/g1-swap/0")[1]
    assert main([*call, "--list", "--only", "train/g1-s*"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "train/cold-swap/0",
        "train/g1-swap/0",
    ]
    assert main([*call, "--only", "g1-swap"]) == 2
    assert "only = 'g1-swap'" in capsys.readouterr().err
    assert main([*call, "--job", "train/g1-swap/0"]) == 2
    assert "first train/cold-swap/0" in capsys.readouterr().err
    assert main([*call, "--job", "train/g9/0"]) == 2
    assert main([*call, "--job", "evaluate/oracle"]) == 0
    assert (
        tmp_path / "evaluations" / "states" / "eval" / "oracle" / "Swap" / "summary.json"
    ).exists()


def test_time_that_is_over_stops_with_checkpoints_and_a_failed_job_is_named(
    study_file, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(runner, "_POLL", 0.1)
    call = ["reproduce", "--study", str(study_file), "--quick", "--out", str(tmp_path)]
    assert main([*call, "--hours", "0.0001"]) == 0
    assert "run the same command to go on" in capsys.readouterr().err
    (tmp_path / "runs" / "cold-swap" / "0").mkdir(parents=True, exist_ok=True)
    # a run of another recipe lies there
    (tmp_path / "runs" / "cold-swap" / "0" / "recipe.json").write_text("{}")
    with pytest.raises(JobError, match=r"train/cold-swap/0 .*log.*train/g1-swap/0"):
        run_study(
            str(study_file), tmp_path, quick=True, only=("train/g1-swap/0", "evaluate/random")
        )
    assert is_done(read_study(str(study_file), True), tmp_path, "evaluate/random")
    assert "name another folder" in (tmp_path / "logs" / "train-cold-swap-0.log").read_text()


def test_sigterm_stops_the_jobs_and_writes_them_down(study_file, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(runner, "_POLL", 0.1)
    ask, sent = runner.progress, []

    def ask_for_the_end(*args):
        if not sent:
            sent.append(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
        return ask(*args)

    monkeypatch.setattr(runner, "progress", ask_for_the_end)
    before = signal.getsignal(signal.SIGTERM)
    assert (
        main(
            [
                "reproduce",
                "--study",
                str(study_file),
                "--quick",
                "--out",
                str(tmp_path),
                "--only",
                "train/cold-swap/0",
            ]
        )
        == 0
    )
    assert signal.getsignal(signal.SIGTERM) is before
    assert "SIGTERM; 0 of 1 jobs are done: run the same command to go on" in capsys.readouterr().err
    [line] = [json.loads(line) for line in (tmp_path / "jobs.jsonl").read_text().splitlines()]
    assert (line["job"], line["done"]) == ("train/cold-swap/0", False)


def test_who_is_trained_is_asked_at_once_and_a_part_of_a_study_is_reported_as_one(
    study_file, tmp_path, capsys
):
    names = [job.name for job in jobs_of(read_study(str(study_file)))]
    assert names[:8] == [
        *("evaluate/random", "evaluate/oracle", "evaluate/teacher:0.3", "evaluate/base"),
        *("train/g0-swap/0", "evaluate/g0-swap.0", "train/g0-swap/3", "evaluate/g0-swap.3"),
    ]
    assert names.index("evaluate/cold-turned+g1-turned.0") > names.index("train/g1-turned/0")
    run_job(read_study(str(study_file)), tmp_path, "evaluate/oracle")
    assert main(["reproduce", "--study", str(study_file), "--out", str(tmp_path), "--report"]) == 0
    text = (tmp_path / "report.md").read_text()
    assert f"**{len(names) - 1} of {len(names)} jobs are still to be done.**" in text
    assert "| oracle |" in text
    assert "nan" not in text
    assert "**not measured**" in text
    assert "## Training" not in text, "what was not measured has no section"


def test_a_job_goes_on_by_itself(study_file, tmp_path):
    quick = read_study(str(study_file), True)
    run_job(quick, tmp_path, "evaluate/teacher:0.3")
    path = tmp_path / "evaluations" / "states" / "eval" / "teacher-0.3" / "Swap" / "trace.jsonl"
    # as if it had been killed
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:3]))
    path.with_name("summary.json").unlink()
    run_job(quick, tmp_path, "evaluate/teacher:0.3")
    assert json.loads(path.with_name("summary.json").read_text())["episodes"]["turns"] == 4


def test_durations_are_not_of_the_time_of_day(study_file, tmp_path, monkeypatch):
    """A clock that is set back by hours while jobs run."""
    days = iter(range(10**6, 0, -3600))
    monkeypatch.setattr(runner, "_POLL", 0.05)
    monkeypatch.setattr(runner.time, "time", lambda: float(next(days)))
    run_study(str(study_file), tmp_path, quick=True, only=["evaluate/oracle"], hours=1)
    (line,) = [json.loads(line) for line in (tmp_path / "jobs.jsonl").read_text().splitlines()]
    assert 0 < line["seconds"] < 600
