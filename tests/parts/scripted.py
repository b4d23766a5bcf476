"""Scripted answers to the questions of a training run."""

from vlmgym.games import state_text
from vlmgym.train import grpo_trainer as trainers
from vlmgym.train.questions import Answered, QuestionSource
from vlmgym.train.rewards import judge_rows


def reply(question, action, thought="t"):
    game, level = question.task.game, question.task.level
    text = "none" if action is None else game.encode(level, action)
    return f"<perception>x</perception><think>{thought}</think><answer>{text}</answer>"


def tokens(tokenizer, texts):
    """Texts as a model that generates them gives them, each with its end."""
    return [
        tokenizer.encode(text + tokenizer.eos_token, add_special_tokens=False) for text in texts
    ]


def answered(states, question, actions):
    """What is told about a question to which these actions were answered."""
    game = question.task.game
    texts = [reply(question, action) for action in actions]
    judged, after = judge_rows([(game, question.state)] * len(texts), texts, False)
    k = states.chosen(question, len(texts))
    moved = state_text(game, after[k][0][after[k][1]]) if question.slot >= 0 else ""
    return Answered(sum(j.gain > 0 for j in judged), len(texts), moved, judged[k].changed)


def good(question):
    game = question.task.game
    return int(game.success_mask(question.state)[0].argmax())


def scripted(monkeypatch, equal):
    """Answers to questions by their number: all the same where ``equal`` says so, else one good and
    the others none.
    """
    asked = []
    draw = QuestionSource.draw

    def drawn(self, count):
        asked.append(draw(self, count))
        return asked[-1]

    def answer(self, prompt_ids, images, *rest, **options):
        size, mine = self.num_generations, asked[-1]
        texts = []
        for question in mine:
            same = equal(question.serial)
            texts += [
                reply(question, good(question) if k == 0 and not same else None)
                for k in range(size)
            ]
        assert len(texts) == len(prompt_ids)
        return tokens(self._tokenizer, texts), None

    monkeypatch.setattr(QuestionSource, "draw", drawn)
    monkeypatch.setattr(trainers.Grpo, "_generate_single_turn", answer)
    return asked
