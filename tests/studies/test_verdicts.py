"""Verdicts: on made-up measurements whose truth is known, they are right as often as they say."""

import numpy as np
import pytest

from parts.plans import planned, told
from verdict_rates import LUCKS, WAYS, World, rates
from vlmgym.studies.claim import Power
from vlmgym.studies.power import decidable
from vlmgym.studies.study import Study
from vlmgym.studies.verdicts import verdicts

STARTS = 100
CLAIM = planned()["plan"]["primary"][0]
SAME = planned()["plan"]["primary"][1]


def answers(generator, share, seeds=3, starts=STARTS):
    return (generator.random((seeds, starts)) < share).astype(float)


def everyone(generator, g1, teacher=0.5, g0=0.5, base=0.3):
    """Values of all players of the study with a plan in all of its games."""
    tables = {}
    for evaluation in ("states", "seen"):
        for word, game in (("2048", "2048"), ("swap", "Swap")):
            for kind, share in (("g0", g0), ("g1", g1)):
                tables[evaluation, game, f"{kind}-{word}"] = answers(generator, share)
            tables[evaluation, game, "teacher:0.3"] = answers(generator, teacher, 1)
            tables[evaluation, game, "base"] = answers(generator, base, 1)
            tables[evaluation, game, "random"] = np.zeros((1, STARTS))
            tables[evaluation, game, "oracle"] = np.ones((1, STARTS))
    return tables


def by_name(results):
    return {verdict.claim.name: verdict for verdict in verdicts(results)}


def test_what_is_there_is_found_and_what_is_not_is_not_decided():
    found = by_name(told(everyone(np.random.default_rng(0), 0.8)))
    teacher = found["teacher"]
    assert (teacher.word, teacher.seeds, teacher.starts) == ("holds", 3, 2 * STARTS)
    assert teacher.estimate.low < 0.3 < teacher.estimate.high
    assert found["gains"].word == "holds"
    assert not found["gains"].primary
    assert found["index"].estimate.mean == pytest.approx(0.3, abs=0.1)
    assert found["beyond"].starts < STARTS * 1.3, "starts on which the teacher fails"
    worse = by_name(told(everyone(np.random.default_rng(0), 0.2)))
    assert worse["teacher"].word == "opposite"
    alike = by_name(told(everyone(np.random.default_rng(0), 0.5)))
    assert alike["teacher"].word == "not decided"


def test_equality_needs_evidence_and_a_lack_of_it_decides_nothing():
    generator = np.random.default_rng(1)
    tables = everyone(generator, 0.8)
    assert by_name(told(tables))["same"].word == "not decided", "100 starts and three seeds"
    for game, word in (("2048", "2048"), ("Swap", "swap")):
        tables["seen", game, f"g1-{word}"] = tables["states", game, f"g1-{word}"]
    assert by_name(told(tables))["same"].word == "holds"
    few = {key: table[:, :10] for key, table in tables.items()}
    assert by_name(told(few))["same"].word == "not decided", "20 equal starts are no evidence"
    for game, word in (("2048", "2048"), ("Swap", "swap")):
        tables["seen", game, f"g1-{word}"] = answers(generator, 0.2)
    assert by_name(told(tables))["same"].word == "does not hold"


def test_primary_claims_are_adjusted_together_and_exploratory_ones_stand_alone():
    tables = everyone(np.random.default_rng(2), 0.56)
    alone = by_name(told(tables, primary=[CLAIM]))["teacher"]
    claims = [CLAIM | {"name": str(number)} for number in range(8)]
    together = by_name(told(tables, primary=claims))["0"]
    assert together.p == alone.p == alone.adjusted
    assert together.adjusted == pytest.approx(min(1, 8 * alone.p))
    apart = by_name(told(tables, primary=[], exploratory=claims))["0"]
    assert apart.adjusted == apart.p


def test_a_primary_claim_that_was_not_measured_counts_among_those_that_are_tested():
    tables = everyone(np.random.default_rng(3), 0.8)
    gone = {key: table for key, table in tables.items() if key[0] != "seen"}
    found = by_name(told(gone))
    assert found["same"].word == "not measured"
    assert found["teacher"].adjusted == pytest.approx(2 * found["teacher"].p)


def test_seeds_that_differ_make_wide_intervals_and_one_seed_says_that_it_is_one():
    tables = everyone(np.random.default_rng(4), 0.6)
    narrow = by_name(told(tables))["teacher"].estimate
    for key in tables:
        if key[2].startswith("g1"):
            shares = ((0.2,), (0.6,), (1.0,))
            tables[key] = (np.random.default_rng(4).random((3, STARTS)) < shares).astype(float)
    wide = by_name(told(tables))["teacher"].estimate
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)
    one = {key: table[:1] for key, table in tables.items()}
    for key in one:
        if key[2].startswith("g"):
            one[key] = np.repeat(one[key], 3, axis=0)
    results = told(one)
    results.study = Study.parse(planned() | {"seeds": [0]})
    tables = {key: (table[:1] if key[2][0] == "g" else table) for key, table in one.items()}
    results.values = lambda evaluation, task, player, measure: {
        (0 if player[0] == "g" else -1): dict(
            zip([(n, n) for n in range(STARTS)], tables[evaluation, task, player][0], strict=True)
        )
    }
    assert by_name(results)["teacher"].covers == "starts alone (one seed)"


@pytest.mark.parametrize(
    ("luck", "is_binary"),
    [(luck, True) for luck in LUCKS] + [(LUCKS[-1], False)],
    ids=lambda value: getattr(value, "name", str(value)),
)
@pytest.mark.parametrize("way", WAYS)
def test_verdicts_are_wrong_no_more_often_than_they_say(way, luck, is_binary):
    """``python benchmarks/verdict_rates.py`` has the table of more rounds."""
    rounds = 150
    world = World(luck, 3, 100, is_binary, np.random.default_rng(7))
    found = rates(way, world, rounds)
    beyond_chance = 0.05 + 3 * (0.05 * 0.95 / rounds) ** 0.5
    assert found.coverage > 1 - beyond_chance
    assert found.false < beyond_chance
    assert found.equality < beyond_chance
    assert found.shuffled < beyond_chance


def test_power_says_before_what_can_be_decided_and_keeps_its_word():
    known = {"between": 0.05, "within": 0.5}
    study = Study.parse(planned(primary=[CLAIM], power=known))
    (claim,) = decidable(study)
    assert claim.seeds == 3
    assert not claim.is_assumed
    assert claim.power == Power(0.05, 0.5)
    assert claim.smallest is not None
    generator = np.random.default_rng(0)
    found = 0
    rounds = 200
    count = claim.starts // 2
    for _ in range(rounds):
        luck = generator.normal(0, 0.05, (3, 1))  # of the base, which all games share
        tables = {}
        for word, game in (("2048", "2048"), ("swap", "Swap")):
            noise = generator.normal(0, 0.5, (1, count))
            tables["states", game, f"g1-{word}"] = claim.smallest + luck + noise
            tables["states", game, "teacher:0.3"] = np.zeros((1, count))
        found += by_name(told(tables, primary=[CLAIM], exploratory=[]))["teacher"].word == "holds"
    assert 0.7 < found / rounds < 0.93
    fewer = Study.parse(
        planned(primary=[CLAIM], power=known) | {"evaluate": ["evaluation.episodes=20"]}
    )
    assert decidable(fewer)[0].smallest > claim.smallest


def test_power_names_what_cannot_be_decided_and_what_is_not_known():
    texts = [claim.text for claim in decidable(Study.parse(planned()))]
    assert "decides differences from" in texts[0]
    assert "assumed: sd of seeds 0.08" in texts[0]
    assert "CANNOT decide equality within 0.05" in texts[1]
    scores = Study.parse(planned(primary=[CLAIM | {"measure": "score"}]))
    assert "not known, the plan names no power for score" in decidable(scores)[0].text
    wide = Study.parse(planned(primary=[SAME | {"margin": 0.9}]))
    assert "can decide equality within 0.9" in decidable(wide)[0].text
