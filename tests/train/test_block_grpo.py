"""Answers that are trained on as two blocks: what is sampled, what is scored, who gets the
credit.
"""

import json

import numpy as np
import pytest
import torch

from parts.scripted import good, reply
from parts.tasks import CPU, SWAP, WIDE_2048
from parts.training import recipe_of, watched_run
from vlmgym.core import ConfigError
from vlmgym.dialogue.prompt import prefills
from vlmgym.dialogue.weights import Weights
from vlmgym.episodes.task import Task
from vlmgym.evals.metrics import shown_in
from vlmgym.train import block_grpo
from vlmgym.train import grpo_trainer as trainers
from vlmgym.train.callbacks import read_metrics
from vlmgym.train.credit import BranchRewards, nested
from vlmgym.train.plan.architecture import architecture
from vlmgym.train.plan.memory import memory
from vlmgym.train.plan.preflight import check
from vlmgym.train.questions import QuestionSource
from vlmgym.train.recipe import Recipe
from vlmgym.train.run import train
from vlmgym.train.settings import GrpoSettings
from vlmgym.train.trained import trained_for
from vlmgym.train.verl.config import overrides

TWO_BY_TWO = {"descriptions": 2, "continuations": 2}
END = "</perception>"
PAPER = Weights()


def settings_of(**settings):
    values = {"steps": 1, "batch": 8, "group": 4, "lr": 1e-3, "beta": 0.0, "max_new_tokens": 60}
    return GrpoSettings(**{"refill": 0, "drop_equal": False} | values | settings)


def trained(model, tmp_path, task=SWAP, reward=PAPER, **settings):
    """The batches of a run, its first line of metrics, its weights."""
    settings = settings_of(**settings)
    recipe = Recipe("tiny", (task,), grpo=settings, compute=CPU, reward=reward)
    return watched_run(recipe, model, tmp_path)


@pytest.fixture
def scripted(monkeypatch):
    """Answers by a script, also to what follows a description."""
    asked, draw = [], QuestionSource.draw

    def drawn(self, count):
        asked.append(draw(self, count))
        return asked[-1]

    def use(answer_of):
        """Answer with ``answer_of(question, number among the rows of a question)``."""

        def generate(self, prompt_ids, images, fields, count):
            size = len(prompt_ids) // len(asked[-1])
            ids = []
            for row, prompt in enumerate(prompt_ids):
                is_second = self._tokenizer.decode(prompt[-1:]) == END
                text = answer_of(asked[-1][row // size], row % size)
                text = text.partition(END)[2] if is_second else text
                ids.append(
                    self._tokenizer.encode(
                        text + self._tokenizer.eos_token, add_special_tokens=False
                    )
                )
            return ids, None

        monkeypatch.setattr(trainers.Grpo, "_generate_single_turn", generate)

    monkeypatch.setattr(QuestionSource, "draw", drawn)
    return use


def first_works(question, number):
    return reply(question, good(question) if number == 0 else None)


def by_kind(batch):
    """The rows of descriptions, of continuations, and of continuations that do not count."""
    mask = batch["tool_mask"] * batch["completion_mask"]
    is_second = ~batch["tool_mask"][:, 0].bool()
    counts = mask.any(dim=1)
    return ~is_second, is_second & counts, is_second & ~counts


# ---- rows
@pytest.mark.parametrize("loss", ["dapo", "grpo"])
def test_answers_with_a_description_each_are_trained_as_whole_answers(
    small, tmp_path, scripted, loss
):
    """Path open, credit flat, one continuation a description: the weights of GRPO."""
    scripted(first_works)
    _, log, weights = trained(small, tmp_path / "whole")
    branches = {"descriptions": 4, "continuations": 1}
    batches, log_of_blocks, weights_of_blocks = trained(
        small, tmp_path / "blocks", branches=branches
    )
    names = ["reward", "reward_std", "frac_reward_zero_std", "completions/mean_length", "success"]
    for name in [*names, "grad_norm"]:
        assert log_of_blocks[name] == pytest.approx(log[name], rel=1e-3), name
    for name, weight in weights.items():
        assert torch.allclose(weight, weights_of_blocks[name], atol=5e-5), name
    assert len(batches[0]["advantages"]) == 16


def test_each_token_is_in_the_loss_once(small, tmp_path, scripted):
    scripted(first_works)
    batches, _, _ = trained(small, tmp_path, branches=TWO_BY_TWO, accumulate=2)
    assert [len(batch["advantages"]) for batch in batches] == [6, 6]
    batch = {
        name: torch.cat([batch[name] for batch in batches])
        for name in ("tool_mask", "completion_mask", "completion_ids")
    }
    first, second, empty = by_kind(batch)
    assert (int(first.sum()), int(second.sum()), int(empty.sum())) == (4, 8, 0)
    mask = batch["tool_mask"] * batch["completion_mask"]
    assert int(batches[0]["num_items_in_batch"]) == int(mask.sum())
    lengths = (batch["completion_mask"] - mask).sum(dim=1)
    assert not lengths[first].any()
    assert set(lengths[second].tolist()) == set(mask.sum(dim=1)[first].tolist()), (
        "the description is read again, and not trained on"
    )


def test_blocks_have_the_advantages_of_their_credit(small, tmp_path, scripted):
    """The description of a group stands for its continuations."""
    scripted(first_works)
    batches, _, _ = trained(small, tmp_path, branches=TWO_BY_TWO, credit="nested")
    rewards = BranchRewards(np.array([[[2.0, 0.0], [0.0, 0.0]]]), np.zeros((1, 2)))
    expected = nested(rewards).scaled()
    first, second, _ = by_kind(batches[0])
    advantages = batches[0]["advantages"]
    assert sorted(advantages[first].tolist()) == pytest.approx(
        sorted([*(2 * expected.descriptions).ravel()] * 2)
    )
    assert sorted(advantages[second].tolist()) == pytest.approx(
        sorted([*expected.continuations.ravel()] * 2)
    )


def test_a_description_that_never_ends_is_an_answer_by_itself(small, tmp_path, scripted):
    def silent(question, number):
        return "red" if number == 1 else reply(question, good(question))

    scripted(silent)
    batches, log, _ = trained(small, tmp_path, branches=TWO_BY_TWO, credit="nested")
    first, second, empty = by_kind(batches[0])
    assert (int(first.sum()), int(second.sum()), int(empty.sum())) == (4, 4, 4)
    assert log["descriptions/never_ended"] == 0.5
    assert log["fault/format"] >= 0.5
    assert (batches[0]["advantages"][first] < 0).sum() == 2
    assert not batches[0]["advantages"][empty].any()


# ---- the path
@pytest.mark.parametrize("path", ["open", "closed"])
def test_the_rows_of_a_closed_path_see_a_blank_picture_after_the_description(
    small, tmp_path, scripted, path
):
    scripted(first_works)
    batches, _, _ = trained(small, tmp_path, branches=TWO_BY_TWO, path=path)
    first, second, _ = by_kind(batches[0])
    is_blank = batches[0]["pixel_values"].flatten(2).std(dim=2).amax(dim=1) < 1e-6
    assert not is_blank[first].any()
    assert is_blank[second].all() == (path == "closed")


@pytest.mark.parametrize("path", ["open", "closed"])
@pytest.mark.parametrize("family", ["small", "qwen"])
def test_blocks_are_scored_as_they_were_sampled(family, path, request, tmp_path, monkeypatch):
    """Every token is the likeliest where it was sampled, and so it is where it is scored, if both
    see the same; the reference is the model itself before the first step.
    """

    def likeliest(probabilities, num_samples):
        return probabilities.argmax(dim=-1, keepdim=True)

    monkeypatch.setattr(torch, "multinomial", likeliest)
    monkeypatch.setattr(block_grpo, "tokens_until", lambda mark, tokens, decode: 5)
    real, scored = trainers.Grpo._get_per_token_logps_and_entropies, []

    def watched(self, *arguments, **options):
        outputs = real(self, *arguments, **options)
        scored.append(outputs[0].detach())
        return outputs

    monkeypatch.setattr(trainers.Grpo, "_get_per_token_logps_and_entropies", watched)
    settings = {"branches": TWO_BY_TWO, "temperature": 0.01, "max_new_tokens": 12, "beta": 0.1}
    batches, log, _ = trained(
        request.getfixturevalue(family),
        tmp_path,
        Task.parse(WIDE_2048),
        path=path,
        **settings,
    )
    mask = (batches[0]["tool_mask"] * batches[0]["completion_mask"]).bool()
    assert int(mask.sum()) == 4 * 5 + 8 * 7
    # a token that is never sampled may be likelier, so not all are
    assert float(scored[-1][mask].median()) > -0.2
    assert log["kl"] == pytest.approx(0, abs=1e-5)


def test_a_run_on_a_closed_path_is_checked_on_it_and_its_model_says_so(small, tmp_path):
    grpo = {**recipe_of(small)["grpo"], "path": "closed", "steps": 1, "save_every": 1}
    final = train(Recipe.parse(recipe_of(small, grpo=grpo)), tmp_path / "run")
    assert trained_for(str(final)).path == "closed"
    traces = list((tmp_path / "run" / "checks").glob("*/2048/trace.jsonl"))
    assert len(traces) == 2
    for trace in traces:
        head = json.loads(trace.read_text().splitlines()[0])
        assert head["about"]["path"] == "closed"


# ---- credit
def test_terms_of_the_description_are_part_of_every_answer_under_flat_alone(
    small, tmp_path, scripted
):
    """All moves fail; the first description is right, and what follows it has no part in that."""

    def first_sees(question, number):
        text = reply(question, None)
        if number:
            return text
        task = question.task
        (described,) = prefills(task.game, question.state, task.prompt, task.blocks)
        return described + text.partition(END)[2]

    scripted(first_sees)
    for credit, thinks in {"flat": True, "nested": False}.items():
        batches, _, _ = trained(
            small,
            tmp_path / credit,
            branches=TWO_BY_TWO,
            credit=credit,
            reward=Weights(perception=0.5),
            max_new_tokens=80,
        )
        first, second, _ = by_kind(batches[0])
        assert batches[0]["advantages"][first].any()
        assert bool(batches[0]["advantages"][second].abs().max() > 1e-6) == thinks


def test_visual_credit_weighs_tokens_by_their_dependence_on_the_picture(small, tmp_path, scripted):
    scripted(first_works)
    batches, _, _ = trained(small, tmp_path / "visual", credit="visual")
    flat, _, _ = trained(small, tmp_path / "flat")
    advantages = batches[0]["advantages"]
    mask = batches[0]["completion_mask"].bool()
    assert advantages.shape == mask.shape
    means = (advantages * mask).sum(dim=1) / mask.sum(dim=1)
    assert sorted(means.tolist()) == pytest.approx(sorted(flat[0]["advantages"].tolist()), rel=1e-4)
    assert float(advantages[0][mask[0]].std()) > 1e-3


def test_nothing_in_a_closed_continuation_depends_on_the_picture(small, tmp_path, scripted):
    scripted(first_works)
    batches, _, _ = trained(small, tmp_path, credit="visual", path="closed", branches=TWO_BY_TWO)
    first, second, _ = by_kind(batches[0])
    mask = (batches[0]["tool_mask"] * batches[0]["completion_mask"]).bool()
    assert not batches[0]["advantages"][second][mask[second]].any()
    assert batches[0]["advantages"][first].any()


@pytest.mark.parametrize("path", ["open", "closed"])
def test_decoupled_credit_asks_again_without_the_picture_where_it_was_shown(
    small, tmp_path, scripted, monkeypatch, path
):
    scripted(first_works)
    real, shown = trainers.Grpo.sample_blocks, []

    def watched(self, prompts, at_once, until=(), said=()):
        image = prompts[0][0]["content"][0]["image"]
        shown.append((bool(said), np.ptp(np.asarray(image)) > 0))
        return real(self, prompts, at_once, until, said)

    monkeypatch.setattr(trainers.Grpo, "sample_blocks", watched)
    trained(small, tmp_path, branches=TWO_BY_TWO, path=path, credit="decoupled")
    calls = {
        "open": [(False, True), (True, True), (True, False)],
        "closed": [(False, True), (True, False)],
    }
    assert shown == calls[path]


# ---- checks
def test_checks_with_swapped_descriptions_tell_what_is_followed(tmp_path):
    """The embedded model names the tiles of the picture."""
    task = {"game": "ShisenSho", "level": "tiny", "look": "tiny", "prompt": "moves"}
    task |= {"walk_max": 5, "walk_legal": True}
    grpo = {"steps": 1, "batch": 4, "group": 2, "max_new_tokens": 100, "refill": 0, "lr": 0.0}
    checks = {"every": 1, "states": 2, "swapped": 8}
    recipe = Recipe.parse(recipe_of("tiny", tasks=[task], grpo=grpo, checks=checks))
    train(recipe, tmp_path)
    lines = read_metrics(tmp_path / "metrics.jsonl")
    checked = [line for line in lines if "check/ShisenSho/follows" in line]
    assert [line["step"] for line in checked] == [0, 1]
    for line in checked:
        assert line["check/ShisenSho/looks_again"] == 1
        assert line["check/ShisenSho/follows"] == 0
    folder = tmp_path / "checks" / "000001"
    assert (folder / "ShisenSho" / "trace.jsonl").exists()
    trace = (folder / "ShisenSho-swapped" / "trace.jsonl").read_text().splitlines()
    assert json.loads(trace[0])["evaluation"]["observation"] == "swapped"


def test_swapped_descriptions_leave_the_other_checks_as_they_are():
    """The success on swapped states once stood in the place of that on ordinary ones."""
    assert not set(shown_in("checks")) & set(shown_in("swapped"))


# ---- a control
@pytest.mark.parametrize("path", ["open", "closed"])
def test_shuffled_rewards_are_those_of_the_group_in_another_order(path, tmp_path, monkeypatch):
    from vlmgym.train.grpo_trainer import Grpo

    seen = []
    real = Grpo.rewarded

    def spy(self, replies, members):
        dealt = real(self, replies, members)
        seen.append((replies.judged[members], dealt, real(self, replies, members)))
        return dealt

    monkeypatch.setattr(Grpo, "rewarded", spy)
    grpo = {"steps": 1, "batch": 16, "group": 8, "max_new_tokens": 100, "refill": 0}
    task = {"game": "2048", "level": "tiny", "look": "tiny", "prompt": "brief", "walk_max": 20}
    grpo |= {"path": path, "shuffled": True}
    train(Recipe.parse(recipe_of("tiny", tasks=[task], grpo=grpo, checks={"every": 0})), tmp_path)
    assert len(seen) == 2
    for judged, dealt, again in seen:
        assert sorted(map(id, dealt)) == sorted(map(id, judged))
        assert list(map(id, dealt)) == list(map(id, again)), "a function of seed and question"
    assert any(list(map(id, dealt)) != list(map(id, judged)) for judged, dealt, _ in seen)


# ---- what is refused
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"branches": {"descriptions": 3, "continuations": 2}}, r"branches = .*product of group"),
        ({"branches": {"descriptions": 0}}, r"Branches.descriptions = 0: allowed is 1 to 1024"),
        ({"branches": {"width": 2}}, r"Branches.width = 2: allowed is one of the fields"),
        ({"branches": 4}, r"GrpoSettings.branches = 4: allowed is a mapping"),
        ({"path": "shut"}, r"GrpoSettings.path = 'shut': allowed is one of open, closed"),
        ({"credit": "nested"}, r"GrpoSettings.credit = 'nested'.*2 descriptions x 2"),
        ({"path": "closed", "turns": 2}, r"path = 'closed': allowed is open where turns > 1"),
        ({"path": "closed", "prefill": True}, r"path = 'closed'.*open where prefill = true"),
        ({"credit": "visual", "turns": 2}, r"credit = 'visual': allowed is flat where turns"),
        ({"branches": TWO_BY_TWO, "turns": 2}, r"branches = .*None where turns > 1"),
    ],
)
def test_settings_of_blocks_that_cannot_be_are_refused_by_name(settings, message):
    with pytest.raises(ConfigError, match=message):
        settings_of(**settings)


@pytest.mark.parametrize(
    ("name", "value"), [("path", "closed"), ("credit", "replay"), ("branches", TWO_BY_TWO)]
)
def test_verl_knows_no_blocks(tmp_path, name, value):
    grpo = settings_of(**{name: value})
    with pytest.raises(ConfigError, match=rf"grpo.{name} = .*for verl"):
        overrides(Recipe("tiny", (SWAP,), grpo=grpo, compute=CPU), tmp_path, "tiny", 1, 1)


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("grpo", {"credit": "replay"}, r"recipe.grpo.credit = 'replay'.*Breakout, which has no"),
        ("checks", {"swapped": 4}, r"recipe.checks.swapped = 4: allowed is 0 for Breakout"),
    ],
)
def test_what_compares_descriptions_is_refused_for_games_without_words(section, values, message):
    task = {"game": "Breakout", "level": "easy", "look": "clean"}
    recipe = recipe_of("tiny", tasks=[task])
    with pytest.raises(ConfigError, match=message):
        Recipe.parse({**recipe, section: {**recipe[section], **values}})


def test_a_plan_counts_the_rows_of_blocks(tmp_path):
    grpo = {**recipe_of("tiny")["grpo"], "branches": TWO_BY_TWO}
    whole, blocks = (
        Recipe.parse(recipe_of("tiny", grpo=settings, lora=None))
        for settings in (recipe_of("tiny")["grpo"], grpo)
    )
    model = architecture("tiny")
    activations = [
        next(
            phase.parts["activations"]
            for phase in memory(recipe, model).phases
            if _is_update(phase)
        )
        for recipe in (whole, blocks)
    ]
    assert activations[1] == pytest.approx(1.5 * activations[0], rel=0.01)
    found = check(blocks, tmp_path)
    (line,) = [problem.message for problem in found if problem.what == "batch"]
    assert "8 x 1 = 8 answers to 2 states a step, in micro-batches of 12" in line
    assert "each state takes 6 rows: 2 descriptions, 4 continuations" in line


def _is_update(phase):
    return (phase.stage, phase.name) == ("grpo", "update")


def test_one_swapped_state_is_refused():
    with pytest.raises(ConfigError, match=r"Checks.swapped = 1: allowed is 0, or 2 and more"):
        Recipe.parse(recipe_of("tiny", checks={"swapped": 1}))


def test_branches_are_read_back_as_they_were_written():
    grpo = {**recipe_of("tiny")["grpo"], "branches": TWO_BY_TWO}
    recipe = Recipe.parse(recipe_of("tiny", grpo=grpo))
    assert Recipe.parse(json.loads(json.dumps(recipe.to_dict()))) == recipe
    assert recipe.grpo.rows == 12
    assert recipe.grpo.override(lr=0.1).in_blocks == recipe.grpo.in_blocks
