"""A folder of evaluations and training for the report, and the page that was written."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

from vlmgym.dialogue.perception import truth
from vlmgym.dialogue.reply import write_reply
from vlmgym.episodes.records import Turn
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import read_trace
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.settings import Evaluation
from vlmgym.players.simple import Oracle, Random, Scripted
from vlmgym.players.teacher import Teacher

TASKS = (
    Task(game="2048", level="tiny", look="tiny", walk_min=4, walk_max=60),
    Task(game="ShisenSho", level="tiny", look="tiny", walk_max=5, walk_legal=True),
)
HOW = Evaluation(episodes=24, turns=1, start="walk")
ATTACK = "<script>alert(1)</script>"
BAD_PLAYER = "<img src=x onerror=alert(1)>"
BROWSER = next(
    (
        p
        for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))
        if p
    ),
    None,
)


def blurred(game, state):
    """A reply with one cell described wrongly, one not at all, and markup in its think text."""
    rows = [line.split("|") for line in truth(game, state)[0].split("\n")]
    wrong = next(n for n in game.scene(state).names[1:] if n != rows[0][0])
    rows[0][0], rows[1][1] = wrong, "???"
    text = "\n".join("|".join(row) for row in rows)
    return write_reply(
        text, ATTACK, game.encode(state.level, int(state.seed[0]) % game.n_actions(state.level))
    )


def fill(folder: Path) -> Path:
    players = {
        "random": Random(),
        "base": Random(salt=1),
        "g0": Scripted(blurred),
        "g1": Oracle(),
        "teacher": Teacher(0.5),
        BAD_PLAYER: Scripted(ATTACK),
    }
    for name, player in players.items():
        player.name = name
        for task in TASKS:
            evaluate(player, task, HOW, folder / "eval" / name / task.names.game, progress=False)
    for run in ("g0", "g1"):
        lines = (
            [{"stage": "sft", "step": s, "loss": 1 / s} for s in range(1, 9)] if run == "g1" else []
        )
        for s in range(1, 31):
            lines.append(
                {
                    "stage": "grpo",
                    "step": s,
                    "reward": s / 30,
                    "success": 0.5,
                    "p_acc": 0.8,
                    "r_acc": s / 60,
                }
            )
            if s % 10 == 0:
                lines.append(
                    {
                        "stage": "grpo",
                        "step": s,
                        "check/2048/success": 0.25,
                        "check/2048/p_acc": 0.75,
                    }
                )
        lines[-2]["r_acc"] = float("nan")
        (folder / run).mkdir()
        (folder / run / "metrics.jsonl").write_text(
            "".join(json.dumps(x) + "\n" for x in lines) + '{"torn": '
        )
        (folder / run / "recipe.json").write_text(json.dumps({"model": ATTACK}))
    (folder / "demo.json").write_text(
        json.dumps({"command": ATTACK, "odd & new": {"a": [1, "<b>"]}, "seed": 7})
    )
    return folder


class Page(HTMLParser):
    """All tags with their attributes, the texts, and whether every element is closed in order."""

    VOID = ("meta",)

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.tags, self.stack, self.texts, self.ids = [], [], [], []
        self.feed(self.source)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        if self.stack and self.stack[-1] != "style":
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(self.texts)

    def count(self, tag, cls=None):
        return sum(
            t == tag and (cls is None or cls in (a.get("class") or "").split())
            for t, a in self.tags
        )

    def sections(self):
        return [a["id"] for t, a in self.tags if t == "section"]


def summary(folder, player, game):
    return json.loads((folder / "eval" / player / game / "summary.json").read_text())["metrics"]


def rewards(folder, player, game):
    records = read_trace(folder / "eval" / player / game / "trace.jsonl")
    return {t.seed: t.terms["game"] for t in records if isinstance(t, Turn)}


def section(page, key):
    return page.source.split(f'<section id="{key}">')[1].split("</section>")[0]


def percent(share):
    return f"{100 * share:.1f}"


def row(part, game, heading):
    """The texts of the cells of a table row in the part of a game, without tags."""
    part = part.split(f"<h3>{game}</h3>")[1].split("</table>")[0]
    line = next(x for x in part.split("<tr>") if f"{heading}</th>" in x)
    return re.findall(r"<(?:b|small)>([^<]*)<|<td>([^<]+)</td>", line)
