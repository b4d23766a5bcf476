"""Where GRPO's questions come from, and what becomes of pools and ladders."""

import json

import numpy as np
import pytest

from parts.scripted import answered, good
from parts.tasks import SWAP, T2048
from vlmgym.cli import main
from vlmgym.core import ConfigError, split_of
from vlmgym.episodes.curriculum import Curriculum
from vlmgym.episodes.trace import load_trace
from vlmgym.games import get_game, read_state_text
from vlmgym.train.questions import QuestionSource
from vlmgym.train.sources import Source


def test_weights_of_tasks_and_sources_are_kept():
    tasks = (T2048.override(weight=3), SWAP)
    states = QuestionSource(tasks, (Source(weight=1), Source("policy_pool", weight=3)), seed=5)
    questions = states.draw(800)
    for share, expected in (
        (np.mean([q.number == 0 for q in questions]), 0.75),
        (np.mean([q.source for q in questions]), 0.75),
    ):
        assert abs(share - expected) < 4 * (0.75 * 0.25 / 800) ** 0.5
    assert [q.serial for q in questions] == list(range(800))
    assert {split_of(q.state.seed[0]) for q in questions} == {"train"}


def test_a_pool_goes_on_from_the_policys_own_answers():
    states = QuestionSource((SWAP,), (Source("policy_pool", games=4),), seed=1)
    first = states.draw(4)
    assert [q.slot for q in first] == [0, 1, 2, 3]
    told = [answered(states, q, [good(q), None]) for q in first]
    states.tell(first, told)
    second = states.draw(4)
    for before, after, one in zip(first, second, told, strict=True):
        assert after.text == one.after, "the state after the answer that was drawn, and no other"
        assert after.state.steps == before.state.steps + 1, "no turn is lost"
    assert any(q.text != p.text for p, q in zip(first, second, strict=True))


def test_which_answer_a_pool_goes_on_with_is_a_fair_draw():
    states = QuestionSource((SWAP,), (Source("policy_pool"),))
    chosen = [states.chosen(question, 4) for question in states.draw(400)]
    counts = np.bincount(chosen, minlength=4)
    assert np.all(np.abs(counts - 100) < 4 * (400 * 0.25 * 0.75) ** 0.5)


def test_an_ended_game_is_followed_by_a_fresh_one_and_its_answer_counts():
    """Defect 2: autoreset swallowed an answer."""
    states = QuestionSource((T2048,), (Source("policy_pool", games=1),), seed=3)
    game = get_game("2048")
    rng, ends = np.random.default_rng(0), 0
    for _ in range(400):
        (question,) = states.draw(1)
        assert game.success_mask(question.state).any()
        assert not question.state.ended[0]
        before = states.counts["pool_ended"]
        one = answered(states, question, [int(rng.integers(4))])
        after = read_state_text(one.after)[1]
        assert after.steps[0] == question.state.steps[0] + 1, (
            "the answer was played on the board that was shown"
        )
        states.tell([question], [one])
        if states.counts["pool_ended"] > before:
            ends += 1
            (fresh,) = (states.pools[0][0],)
            assert fresh.state.steps[0] == 0
    assert ends >= 3, "games ended, so that the test can fail"
    assert states.dealt[0] >= ends


def test_a_game_that_goes_nowhere_is_given_up():
    states = QuestionSource((SWAP,), (Source("policy_pool", games=1, patience=3),))
    texts = []
    for _ in range(7):
        (question,) = states.draw(1)
        texts.append(question.text)
        states.tell([question], [answered(states, question, [None])])
    assert states.counts["pool_stuck"] == 2
    fields = [read_state_text(text)[1].board.tobytes() for text in texts]
    assert [fields.count(one) for one in dict.fromkeys(fields)] == [3, 3, 1]


def test_one_game_asked_twice_in_a_batch_moves_once():
    states = QuestionSource((SWAP,), (Source("policy_pool", games=1),))
    twice = states.draw(2)
    assert twice[0].text == twice[1].text
    told = [answered(states, q, [good(q)]) for q in twice]
    states.tell(twice, told)
    assert states.pools[0][0].state.steps[0] == 1


def trace_of(tmp_path, game="Swap", level="tiny"):
    out = tmp_path / "e"
    call = [
        "eval",
        "--player",
        "random",
        "--game",
        game,
        "--level",
        level,
        "--look",
        "tiny",
        "--episodes",
        "6",
        "--turns",
        "4",
    ]
    assert main([*call, "--out", str(out)]) == 0
    return out


def test_a_trace_is_asked_again(tmp_path, capsys):
    out = trace_of(tmp_path)
    states = QuestionSource((SWAP,), (Source("replay", trace=str(out)),), seed=2)
    recorded = {turn.state for turn in load_trace(out / "trace.jsonl").turns}
    questions = states.draw(30)
    assert {q.text for q in questions} <= recorded
    game = get_game("Swap")
    assert all(game.success_mask(q.state).any() for q in questions)
    once = len({q.text for q in questions})
    assert questions[0].text == questions[once].text, "in an order of the seed, again and again"
    assert [q.text for q in questions] != [
        q.text
        for q in QuestionSource((SWAP,), (Source("replay", trace=str(out)),), seed=3).draw(30)
    ]
    assert "held out" in capsys.readouterr().err, "its states are test states, and that is said"


def test_sources_that_do_not_fit_say_so(tmp_path, capsys):
    out = trace_of(tmp_path)
    with pytest.raises(
        ConfigError, match=r"nothing for 2048 tiny.*a source with states of every " r"task"
    ):
        QuestionSource((T2048, SWAP), (Source("replay", trace=str(out)),))
    with pytest.raises(ConfigError, match=r"Source.trace"):
        Source("replay")
    with pytest.raises(ConfigError, match=r"Source.kind.*random_walk, policy_pool, replay"):
        Source("walk")
    with pytest.raises(ConfigError, match=r"recipe.curriculum.Swap.*a game of the run"):
        QuestionSource((T2048,), curricula={"Swap": Curriculum()})
    with pytest.raises(ConfigError, match=r"level"):
        QuestionSource(
            (SWAP,), curricula={"Swap": Curriculum(dial="level", rungs=("tiny", "no such"))}
        )


@pytest.mark.parametrize("dial", ["look", "level"])
def test_a_ladder_follows_the_answers(dial):
    rungs = {
        "look": ("tiny", "tiny:noise=0.1", "tiny:noise=0.2"),
        "level": ("tiny", "easy", "normal"),
    }[dial]
    ladder = Curriculum(dial=dial, rungs=rungs, target=0.5, step=0.25)
    states = QuestionSource(
        (SWAP, T2048), (Source(), Source("policy_pool", games=8)), {"Swap": ladder}, seed=4
    )
    seen = []
    for right in (True, False):
        for _ in range(12):
            questions = states.draw(8)
            assert all(q.state.level == q.task.level for q in questions), (
                "the prompt tells the rules of this very board"
            )
            seen += [
                getattr(q.task.names, dial)
                for q in questions
                if q.task.names.game == "Swap" and q.slot < 0
            ]
            assert {
                getattr(q.task.names, dial) for q in questions if q.task.names.game == "2048"
            } <= {getattr(T2048.names, dial)}
            states.tell(
                questions, [answered(states, q, [good(q) if right else None]) for q in questions]
            )
        assert (
            states.curricula["Swap"].place > 1.5 if right else states.curricula["Swap"].place < 0.5
        )
    assert set(seen) == set(rungs), "up and down again"
    if dial == "level":
        for game in states.pools[0]:
            assert game.state.level == get_game("Swap").level(game.level)


def test_all_of_it_is_saved_and_goes_on(tmp_path, capsys):
    sources = (
        Source(),
        Source("policy_pool", games=5),
        Source("replay", trace=str(trace_of(tmp_path))),
    )

    def make():
        return QuestionSource(
            (SWAP, T2048), sources, {"Swap": Curriculum(rungs=("tiny", "clean"))}, seed=9
        )

    whole, cut = make(), make()

    def play(states, rounds):
        out = []
        for _ in range(rounds):
            questions = states.draw(6)
            out += [q.text + q.task.names.look for q in questions]
            states.tell(questions, [answered(states, q, [good(q), None]) for q in questions])
        return out

    expected = play(whole, 20)
    begun = play(cut, 11)
    kept = json.loads(json.dumps(cut.state_dict()))
    play(cut, 3)  # lost when the run was killed
    again = make()
    again.load_state_dict(kept)
    assert begun + play(again, 9) == expected
    assert again.state_dict() == whole.state_dict()
