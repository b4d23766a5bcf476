"""Tables of blocks as a part of a study: listed, made by jobs, stopped and gone on with, reported,
and refused where they are wrong.
"""

import json

import numpy as np
import pytest
import yaml

from parts.studies import BRANCHED
from vlmgym.cli import main
from vlmgym.core import ConfigError
from vlmgym.studies import runner
from vlmgym.studies.branches import read_tables, tables_path
from vlmgym.studies.jobs import is_done, progress, run_job
from vlmgym.studies.schedule import jobs_of
from vlmgym.studies.study import Study, read_study


@pytest.fixture(scope="module")
def study_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "branched.yaml"
    path.write_text(BRANCHED)
    return path


@pytest.fixture(scope="module")
def finished(study_file):
    study = read_study(str(study_file))
    out = study_file.parent / "out"
    for job in jobs_of(study):
        run_job(study, out, job.name)
    assert main(["reproduce", "--study", str(study_file), "--out", str(out)]) == 0
    return out


def branched(**changes):
    values = yaml.safe_load(BRANCHED)
    values["blocks"]["start"] |= changes
    return values


def test_every_seed_of_a_run_is_a_job_after_its_training(study_file, capsys):
    study = read_study(str(study_file))
    jobs = {job.name: job for job in jobs_of(study)}
    assert list(jobs) == [
        *("blocks/base", "train/cold/0", "blocks/cold.0", "train/cold/3", "blocks/cold.3")
    ]
    assert jobs["blocks/cold.3"].needs == ("train/cold/3",)
    assert main(["reproduce", "--study", str(study_file), "--quick", "--list"]) == 0
    assert capsys.readouterr().out.count("blocks/") == 2
    shorter = {job.name: job for job in jobs_of(read_study(str(study_file), True))}
    assert 0 < shorter["blocks/base"].cost < jobs["blocks/base"].cost


def test_a_stopped_job_goes_on_to_the_same_tables(study_file, finished, tmp_path):
    study = read_study(str(study_file))
    (job,) = (job for job in jobs_of(study) if job.name == "blocks/base")
    whole = tables_path(finished, "start", "base").read_text()
    lines = whole.splitlines(keepends=True)
    path = tables_path(tmp_path, "start", "base")
    path.parent.mkdir(parents=True)
    path.write_text("".join(lines[:2]) + lines[2][:30])
    assert not is_done(study, tmp_path, job.name)
    assert progress(study, tmp_path, job)[0] == pytest.approx(job.cost / 2)
    run_job(study, tmp_path, job.name)
    assert path.read_text() == whole
    assert is_done(study, tmp_path, job.name)


def test_the_states_are_those_that_the_entry_says(finished):
    head, *lines = map(json.loads, tables_path(finished, "start", "cold.3").open())
    assert [line["state"] for line in lines] == [100_000, 100_001]
    assert head["size"]["split"] == "test"
    assert head["player"]["sampling"]["temperature"] == 1.0
    assert head["player"]["sampling"]["max_tokens"] == 120
    tables = read_tables(tables_path(finished, "start", "cold.3"))
    assert tables.rewards.shape == (2, 4, 3)
    assert set(np.unique(tables.rewards)) <= {-1.0, 1.0}


def test_what_is_played_is_frozen(study_file, finished):
    stored = json.loads((finished / "study.json").read_text())["blocks"]["start"]
    assert stored["players"] == ["base", "cold.0", "cold.3"]
    assert (stored["descriptions"], stored["continuations"]) == (4, 3)
    with pytest.raises(ConfigError, match=r"study.json: blocks.start.continuations = 5: allowed"):
        runner._freeze(Study.parse(branched(continuations=5)), finished)
    runner._freeze(Study.parse(branched(batch=4)), finished)  # changes no answer


def test_the_report_says_where_rewards_vary_and_how_estimators_do(finished):
    text = (finished / "report.md").read_text()
    section = text.partition("## Advantages of the blocks of answers")[2].partition("\n## ")[0]
    assert "### start: Swap, temperature 1, 2 states x 4 descriptions x 3 continuations" in section
    assert "reliability" in section
    for player in ("base", "cold"):
        for row in ("flat 16 x 1", "replay 16 x 1", "flat 4 x 4", "nested 4 x 4", "replay 4 x 4"):
            assert section.count(f"| {player} | {row} |") == 1
    assert "nan" not in text
    stored = json.loads((finished / "results.json").read_text())["blocks"]["start"]
    assert [*stored["base"]] == ["untrained"]
    assert [*stored["cold"]] == ["0", "3"]
    assert stored["cold"]["3"]["variances"]["states"] == 2
    measured = stored["cold"]["3"]["estimated"]
    assert [(row["credit"], row["descriptions"]) for row in measured][3] == ("nested", 4)
    assert measured[3]["of_continuations"].keys() == {"bias", "deviation", "cosine"}


def test_a_study_without_tables_has_no_such_section(study_file, tmp_path):
    assert main(["reproduce", "--study", str(study_file), "--out", str(tmp_path), "--report"]) == 0
    text = (tmp_path / "report.md").read_text()
    assert "## Advantages of the blocks" not in text
    assert "**5 of 5 jobs are still to be done.**" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"players": ["col"]}, r"study.blocks.start.players = 'col': allowed is a model: one of"),
        ({"players": ["random"]}, r"players = 'random': allowed is a model: one of cold, base"),
        ({"players": ["base+cold"]}, r"players = 'base\+cold': allowed is a model"),
        ({"games": []}, r"study.blocks.start.protocol = '2048, .*': allowed is one task"),
        ({"games": ["Go"]}, r"study.blocks.start.games = \['Go'\]: allowed is some of"),
        ({"descriptions": 1}, r"study.blocks.start.descriptions = 1: allowed is 2 to"),
        ({"states": 2.5}, r"study.blocks.start.states = 2.5: allowed is of type int"),
        ({"temperature": 0}, r"study.blocks.start.temperature = 0.0: allowed is 0.001 to 100"),
        ({"depth": 3}, r"study.blocks.start = .*: allowed is a mapping with protocol, players"),
    ],
)
def test_wrong_entries_are_refused_by_name(change, message):
    with pytest.raises(ConfigError, match=message):
        Study.parse(branched(**change))
