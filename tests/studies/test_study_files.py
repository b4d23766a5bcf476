"""Files of studies: read, refused, never leading out of their folder; and the bundled one."""

import json
from pathlib import Path

import pytest
import yaml

import vlmgym
from parts.studies import SMALL
from vlmgym.cli import main
from vlmgym.cli.parser import parse
from vlmgym.cli.study import _folder_of
from vlmgym.core import ConfigError
from vlmgym.core.files import FileError
from vlmgym.studies import runner
from vlmgym.studies.entries import FIXED
from vlmgym.studies.power import decidable
from vlmgym.studies.schedule import jobs_of
from vlmgym.studies.study import Study, read_study


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sedes": [0]}, r"study.sedes = .*: allowed is one of model, seeds"),
        ({"seeds": []}, r"study.seeds = \[\]"),
        (
            {"runs": {"a": {"recipe": "study/rl-swap", "start": "b"}}},
            r"study.runs.a.start = 'b': " r"allowed is base",
        ),
        ({"runs": {"a": {"steps": 3}}}, r"study.runs.a = .*a mapping with recipe, start, set"),
        ({"evaluations": {"a": {"protocol": "study/states"}}}, r"study.evaluations.a"),
        (
            {"evaluations": {"a": {"protocol": "study/states", "players": ["bse"]}}},
            r"players = 'bse': allowed is " r"random",
        ),
        (
            {"evaluations": {"a": {"protocol": "study/states", "players": ["teachers"]}}},
            r"players = 'teachers': allowed is random, .*oracle, teacher\[:error-or-habit\], base",
        ),
        (
            {"evaluations": {"a": {"protocol": "study/states", "players": ["random:1"]}}},
            r"players = 'random:1': allowed is random",
        ),
        (
            {"runs": {"oracle": {"recipe": "study/rl-swap"}}},
            r"study.runs = 'oracle': allowed is a name that no player has \(random, .*, base\)",
        ),
        (
            {
                "evaluations": {
                    "a": {"protocol": "study/states", "players": ["base"], "games": ["Go"]}
                }
            },
            r"a.games = \['Go'\]",
        ),
    ],
)
def test_bad_studies_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        jobs_of(Study.parse({"seeds": [0], **change}))


def test_studies_may_ask_every_player_that_needs_no_model_file_or_endpoint():
    simple = ["random", "random-legal", "greedy", "search", "weigher", "oracle", "teacher"]
    assert list(FIXED) == simple
    players = [*FIXED, "teacher:0.3", "base"]
    evaluations = {"e": {"protocol": "study/states", "players": players}}
    assert Study.parse({"seeds": [1], "evaluations": evaluations}).players("e") == players


def test_relays_and_patterns_name_who_is_asked():
    runs = {name: {"recipe": "study/rl-swap"} for name in ("a", "b", "ab")}
    players = ["a*", "base+b", "b+a", "random", "c*"]
    asked = Study.parse(
        {
            "seeds": [1, 2],
            "runs": runs,
            "evaluations": {"e": {"protocol": "study/states", "players": players}},
        }
    )
    assert asked.players("e") == [
        "a.1",
        "a.2",
        "ab.1",
        "ab.2",
        "base+b.1",
        "base+b.2",
        "b+a.1",
        "b+a.2",
        "random",
    ]
    assert asked.makers("base+b.2") == [("b", 2)]
    assert asked.makers("random") == asked.makers("base") == asked.makers("teacher:0.4") == []
    needs = {job.name: job.needs for job in jobs_of(asked)}
    assert needs["evaluate/b+a.2"] == ("train/b/2", "train/a/2")
    assert needs["evaluate/random"] == ()


BUNDLED = sorted((Path(vlmgym.__file__).parent / "studies").glob("*.yaml"))


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.stem)
def test_bundled_studies_are_whole_and_can_say_what_they_decide(path, quick):
    whole = read_study(path.stem, quick)
    jobs = jobs_of(whole)
    assert len({job.name for job in jobs}) == len(jobs)
    assert all(
        whole.makers(f"{name}.{whole.seeds[0]}") == [(name, whole.seeds[0])] for name in whole.runs
    )
    assert len(decidable(whole)) == len(whole.primary)


def test_a_study_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match=r"study = 'g2': allowed is a file, or one of"):
        read_study("g2")


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "../../../..",
        "/tmp/x",
        "a/b",
        ".",
        "..",
        "",
        ".a",
        "a.",
        "a..b",
        "a b",
        "-x",
        "é",
        "a\0",
        "x\n",
        "a+b",
        "*",
    ],
)
@pytest.mark.parametrize("section", ["runs", "evaluations"])
def test_no_name_of_a_study_leaves_its_folder(name, section, tmp_path, capsys):
    values = yaml.safe_load(SMALL)
    values[section][name] = {
        "runs": {"recipe": "study/rl-swap"},
        "evaluations": {"protocol": "study/states", "players": ["random"]},
    }[section]
    (tmp_path / "bad.yaml").write_text(json.dumps(values))
    before = sorted(tmp_path.parent.iterdir())
    assert (
        main(["reproduce", "--study", str(tmp_path / "bad.yaml"), "--out", str(tmp_path / "out")])
        == 2
    )
    assert capsys.readouterr().err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["bad.yaml"]
    assert sorted(tmp_path.parent.iterdir()) == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"seeds": [0, 0]},
        {"seeds": [True]},
        {"seeds": [-1]},
        {"seeds": [[0]]},
        {"train": [5]},
        {"quick": [1]},
        {"runs": {"a": {"recipe": 5}}},
        {"runs": {"a": {"set": ["x=1"]}}},
        {"runs": {"a": {"recipe": "study/rl-swap", "set": "x=1"}}},
        {"runs": {"oracle": {"recipe": "study/rl-swap"}}},
        {"evaluations": {"a": {"protocol": "study/states", "players": "base"}}},
        {"evaluations": {"a": {"players": ["base"]}}},
        {"evaluations": {"a": {"protocol": "study/states", "players": [5]}}},
    ],
)
def test_a_study_of_other_types_is_refused(wrong):
    with pytest.raises(ConfigError, match=r"^study"):
        Study.parse(yaml.safe_load(SMALL) | wrong)


def test_names_with_a_dot_find_their_runs():
    runs = {"perception-0.1": {"recipe": "study/rl-swap"}}
    study = Study.parse({"seeds": [0], "runs": runs})
    assert study.makers("perception-0.1.0") == [("perception-0.1", 0)]


def small_study(**changes):
    return Study.parse({**yaml.safe_load(SMALL), **changes}, quick=True)


def test_a_study_goes_on_that_was_begun_before_a_setting_was_there(tmp_path):
    runner._freeze(small_study(), tmp_path)
    path = tmp_path / "study.json"
    whole = path.read_text()
    stored = json.loads(whole)
    for recipe in stored["runs"].values():
        del recipe["sft"]["explode"]
    for protocol in stored["evaluations"].values():
        for task in protocol["tasks"]:
            del task["reply"]
            del task["evaluation"]["mode"]
    path.write_text(json.dumps(stored))
    runner._freeze(small_study(), tmp_path)
    assert path.read_text() == whole


def test_a_folder_of_another_study_is_refused_by_the_fields_that_differ(tmp_path):
    runner._freeze(small_study(), tmp_path)
    runs = {**yaml.safe_load(SMALL)["runs"]}
    runs["g0-swap"] = {**runs["g0-swap"], "set": ["grpo.lr=0.5"]}
    message = (
        r"study.json: runs.g0-swap/0.grpo.lr = 0.5: allowed is 5e-05, as in the study there; or"
    )
    with pytest.raises(ConfigError, match=message):
        runner._freeze(small_study(runs=runs), tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"study.json: no JSON"),
        ("{}", r"study.json: no study, with its runs and evaluations"),
        ('{"runs": {"a/0": 5}, "evaluations": {}}', r"study.json: runs.a/0: no recipe of a run"),
        ('{"runs": {}, "evaluations": {"a": {}}}', r"study.json: evaluations.a: no protocol"),
    ],
)
def test_an_unreadable_study_is_named(tmp_path, text, message):
    (tmp_path / "study.json").write_text(text)
    with pytest.raises(FileError, match=message):
        runner._freeze(small_study(), tmp_path)


@pytest.mark.parametrize(
    ("words", "folder"),
    [
        ([], "runs/claims"),
        (["--quick"], "runs/claims-quick"),
        (["--study", "path"], "runs/path"),
        (["--study", "mine/gaze.yaml", "--quick"], "runs/gaze-quick"),
    ],
)
def test_each_form_of_each_study_has_a_folder_of_its_own(words, folder):
    assert _folder_of(parse(["reproduce", *words])) == Path(folder)
