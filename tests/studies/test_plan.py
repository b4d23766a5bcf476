"""Plans: claims that are read, refused, hashed, and frozen but for dated amendments."""

import json
from pathlib import Path

import pytest
import yaml

from parts.plans import planned
from vlmgym.core import ConfigError
from vlmgym.core.yaml_loader import Loader
from vlmgym.studies import runner
from vlmgym.studies.plan import MOST_PRIMARY, Plan
from vlmgym.studies.study import Study

CLAIM = planned()["plan"]["primary"][0]
AMENDMENT = {"date": "2026-11-30", "what": "longer runs", "why": "curves still rose"}


def test_a_claim_is_read_as_data():
    study = Study.parse(planned())
    teacher, same = study.primary
    assert study.games_of(teacher) == ("2048", "Swap")
    assert str(teacher.pair.of_game("swap")) == "g1-swap - teacher:0.3"
    assert same.pair.against.evaluation == "seen"
    assert (same.margin, same.bounds) == (0.05, (-1, 1))
    gains, index, beyond = study.exploratory
    assert gains.bounds == (-2, 2)
    assert (index.pair.against, index.games, index.bounds) == (0.5, ("Swap",), None)
    assert beyond.fails == "teacher:0.3"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"measure": "luck"}, r"plan.primary.0.measure = 'luck': allowed is one of score, "),
        ({"measure": "follows"}, r"measure = 'follows': .*against a number any metric"),
        ({"expect": "better"}, r"expect = 'better': allowed is one of greater, less, equal"),
        ({"expect": "equal"}, r"margin = 0: allowed is a number above 0 where equal is expected"),
        ({"margin": 0.1}, r"margin = 0.1: allowed is .* and none else"),
        ({"of": "g9-{game}"}, r"plan.teacher = 'g9-2048': allowed is one that states asks: random"),
        ({"against": "teacher:0.4"}, r"'teacher:0.4': allowed is one that states asks"),
        ({"evaluation": "episodes"}, r"plan.teacher.evaluation = 'episodes': .* states, seen"),
        ({"games": ["Sokoban"]}, r"allowed is one that states asks|one task of Sokoban"),
        ({"where": {"fails": "teacher:0.3"}}, r"fails = 'teacher:0.3': .*by its own luck"),
        ({"measure": "index", "evaluation": "seen", "against": "base"}, r"plan.teacher = 'random'"),
        ({"minus": {"of": "base"}}, r"minus = .*against is missing"),
        ({"says": 5}, r"says = 5: allowed is a string"),
        ({"when": 5}, r"plan.primary.0.when = 5: allowed is one of name, says"),
        ({"power": {"between": -1, "within": 0}}, r"power.between = -1: allowed is a standard dev"),
    ],
)
def test_claims_that_cannot_be_decided_are_refused_when_the_file_is_read(change, message):
    with pytest.raises(ConfigError, match=message):
        Study.parse(planned(primary=[CLAIM | change]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frozen": "tomorrow"}, r"plan.frozen = 'tomorrow': allowed is a day as 2030-12-31"),
        ({"hypothesis": "x"}, r"plan.hypothesis = 'x': allowed is one of question, frozen"),
        ({"amendments": [AMENDMENT]}, r"amendments.0 = .* date, what, why, changes"),
        ({"exploratory": [CLAIM]}, r"plan = 'teacher': allowed is each claim once"),
        (
            {"primary": [CLAIM | {"name": str(number)} for number in range(MOST_PRIMARY + 1)]},
            r"plan.primary = '9 claims': allowed is at most 8",
        ),
    ],
)
def test_plans_of_another_form_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        Study.parse(planned(**change))


def test_claims_about_what_is_left_out_are_left_out_and_the_others_stay():
    study = Study.parse(planned() | {"leave_out": ["g0-*"]})
    assert [claim.name for claim in study.exploratory] == ["index", "beyond"]
    assert len(study.primary) == 2


def hashes(folder):
    return json.loads((folder / "study.json").read_text())["hashes"]


def test_a_changed_plan_is_refused_and_an_amendment_allows_what_it_names(tmp_path):
    runner._freeze(Study.parse(planned()), tmp_path)
    runner._freeze(Study.parse(planned()), tmp_path)
    (first,) = hashes(tmp_path)
    primary = [CLAIM | {"expect": "less"}, planned()["plan"]["primary"][1]]
    with pytest.raises(ConfigError, match=r"plan.primary.0.expect = 'less': allowed is 'greater'"):
        runner._freeze(Study.parse(planned(primary=primary)), tmp_path)
    amended = {"primary": primary, "amendments": [AMENDMENT | {"changes": ["seeds"]}]}
    with pytest.raises(ConfigError, match=r"plan.primary.0.expect"):
        runner._freeze(Study.parse(planned(**amended)), tmp_path)
    amended["amendments"] = [AMENDMENT | {"changes": ["plan.primary.*"]}]
    assert hashes(tmp_path) == [first]
    runner._freeze(Study.parse(planned(**amended)), tmp_path)
    assert hashes(tmp_path)[0] == first
    assert len(hashes(tmp_path)) == 2
    amended["primary"] = planned()["plan"]["primary"]
    with pytest.raises(ConfigError, match=r"expect"):
        runner._freeze(Study.parse(planned(**amended)), tmp_path)
    amended["amendments"] = []
    with pytest.raises(ConfigError, match=r"amendments"):
        runner._freeze(Study.parse(planned(**amended)), tmp_path)


def test_the_hash_is_of_what_is_asked_and_done_and_not_of_amendments(tmp_path):
    def hash_of(number, values):
        runner._freeze(Study.parse(values), tmp_path / str(number))
        return hashes(tmp_path / str(number))[0]

    same = planned(amendments=[AMENDMENT | {"changes": ["seeds"]}])
    found = [
        hash_of(number, values)
        for number, values in enumerate(
            [
                planned(),
                same,
                planned(frozen="2026-11-29"),
                planned() | {"seeds": [0, 1]},
                planned() | {"evaluate": ["evaluation.first=200000"]},
                planned() | {"train": ["grpo.lr=0.1"]},
            ]
        )
    ]
    assert found[0] == found[1]
    assert len(set(found)) == 5


def test_the_plan_of_the_documentation_is_read():
    text = (Path(__file__).parents[2] / "docs" / "studies.md").read_text()
    block = text.split("```yaml\n")[1].split("```")[0]
    plan = Plan.parse(yaml.load(block, Loader)["plan"])
    assert len(plan.primary) == 1
    assert len(plan.exploratory) == 3
    assert plan.amendments[0].changes == ("runs.*.grpo.steps",)
