"""The games that one person plays one after the other, and their trace."""

from __future__ import annotations

import io
import math
import os
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image

from vlmgym.apps.play.inputs import choices_of, input_kind
from vlmgym.apps.play.record import PLAYER, choose_folder, episode_record, unfinished
from vlmgym.core import NO_ACTION, ConfigError, best_action, seeds_for
from vlmgym.core.files import write_json
from vlmgym.dialogue import prompt
from vlmgym.dialogue.judge import ATTRIBUTION, Judgement, judge
from vlmgym.dialogue.perception import truth
from vlmgym.dialogue.reply import Problem, parse, write_reply
from vlmgym.episodes.records import Episode, EvaluationRun, Turn
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import TraceWriter, read_trace
from vlmgym.evals import baselines
from vlmgym.evals.metrics import summarise
from vlmgym.evals.settings import Evaluation
from vlmgym.games import GAMES
from vlmgym.games.parts.actions import MOVES, CellPairs
from vlmgym.players.base import Answer
from vlmgym.render.frames import frame_size, render, tile_boxes
from vlmgym.render.looks import LOOKS

LONGEST = 200
"""Characters of an answer, at most."""

REASONS = {
    Problem.NOT_A_MOVE: "not a move of this game",
    Problem.OUT_OF_RANGE: "outside of the board or of the moves",
    Problem.NOT_ADJACENT: "the two cells are not neighbours",
    Problem.EMPTY_ANSWER: "the answer is empty",
}


RESULTS = {1.0: "solved", 0.5: "drawn", 0.0: "lost"}
"""What :meth:`vlmgym.core.Game.points` says of a game; against an opponent, it is won and not
solved.
"""


class Session:
    """The games that one person plays one after the other, and their trace.

    Safe to call from several threads.

    Args:
        task: game, level and look.
        seed: number of the first game; see :func:`vlmgym.core.seeds_for` (split ``free``, level
            name ``human``).
        out: folder for ``trace.jsonl`` and ``summary.json``. A trace of the same run (player, game,
            level, look and code) is continued; if there is another one, or someone is playing into
            it, ``out-2``, ``out-3`` ... is taken instead.
        shown: what was shown before, by other sessions of the page; each view has a number of its
            own.

    Raises:
        ConfigError: bad seed, or a look that cannot draw the game.
    """

    def __init__(self, task: Task, seed: int, out: Path, shown: int = 0) -> None:
        if not 0 <= seed <= 1_000_000_000:
            raise ConfigError("seed", seed, "0 to 1000000000")
        self.task = task
        self.first = seed
        self.index = seed
        self.game = task.game
        self.level = task.level
        self.look = task.look
        self.size = frame_size(self.game, self.level, self.look)
        self._boxes = tile_boxes(self.game, self.level, self.look).tolist()
        self._kind = input_kind(self.game, self.level)
        self._lock = threading.RLock()
        self._closed = False
        self._number = shown  # of what is shown: raised by every turn and every new game
        self._deal()
        text = write_reply("-", "-", self.game.encode(self.level, 0))
        # compiles what the first turn needs; judging changes nothing
        judge(self.game, self.state, [text])

        names = task.names
        run = EvaluationRun(
            PLAYER, names.game, names.level, names.look, task.prompt, attribution=ATTRIBUTION
        )
        self.folder, self._claim = choose_folder(out.resolve(), run)
        self._trace = self.folder / "trace.jsonl"
        records = list(read_trace(self._trace)) if self._trace.exists() else []
        self._run = None if records else run  # still to be written
        self._writer: TraceWriter | None = None
        played = [record.episode for record in records if not isinstance(record, EvaluationRun)]
        self._episode = 1 + max(played, default=-1)
        for episode in unfinished(records):
            self._write(episode)

    def _deal(self) -> None:
        seeds = seeds_for("free", self.game.name, PLAYER, 1, self.index)
        self.state = self.game.reset(self.level, seeds)
        self._turns = 0
        self._reward = 0.0
        self._finished = False
        self._saved = False
        self._helped = False
        self._last: dict[str, Any] | None = None
        self._possible = self.game.possible(self.state)[0].tolist()
        self._number += 1
        self._since = time.perf_counter()

    @property
    def shown(self) -> int:
        """The number of what is shown."""
        return self._number

    # ---- looking
    def view(self, refused: str = "") -> dict[str, Any]:
        """All that the page shows, as JSON values; ``refused`` says why an answer did not count."""
        with self._lock:
            state = self.state
            rows = len(self._boxes)
            columns = len(self._boxes[0]) if self._boxes else 0
            return {
                "n": self._number,
                "game": self.task.names.game,
                "level": self.task.names.level,
                "look": self.task.names.look,
                "seed": self.index,
                "picture": f"/frame.png?n={self._number}",
                "size": list(self.size),
                "grid": [rows, columns],
                "boxes": self._boxes,
                "input": self._kind,
                "actions": self._buttons(),
                "tiles": self._tiles(),
                "twice": self._twice(),
                "score": int(state.score[0]),
                "turn": int(state.steps[0]),
                "limit": self.level.max_steps,
                "status": self._status(),
                "result": self._result(),
                "last": self._last,
                "refused": refused,
                "prompt": prompt.prompt_text(self.game, self.level, self.task.prompt),
                "format": self.game.answer_format(self.level),
                "folder": str(self.folder),
                "offered": self.offered(),
            }

    def offered(self) -> dict[str, list[str]]:
        """The games, levels and looks that may be chosen on the page, the present ones among
        them.
        """
        names = self.task.names
        return {
            "game": list(dict.fromkeys([*GAMES, names.game])),
            "level": list(dict.fromkeys([*self.game.LEVELS, names.level])),
            "look": list(dict.fromkeys([*LOOKS, names.look])),
        }

    def _buttons(self) -> list[list[str]]:
        """Text and label of what has a button or a key; see
        :func:`vlmgym.apps.play.inputs.choices_of`.
        """
        texts = choices_of(self.game, self.level)
        if self._kind == "choice":
            texts = [text for text, may_be in zip(texts, self._possible, strict=True) if may_be]
        labels = MOVES if self._kind == "moves" else texts
        return [[text, label] for text, label in zip(texts, labels, strict=True)]

    def _twice(self) -> bool:
        """Whether a tile may be named twice, which turns the piece of a jigsaw."""
        if not isinstance(getattr(self.game, "answers", None), CellPairs):
            return False
        legal = self.game.legal(self.state)[0]
        cells = math.isqrt(len(legal))
        return bool(legal[:: cells + 1].any())

    def _tiles(self) -> list[list[str]]:
        """What stands on each tile, where a click on it chooses among phrases."""
        if self._kind != "choice":
            return []
        scene = self.game.scene(self.state)
        return [[scene.names[symbol] for symbol in row] for row in scene.symbols[0].tolist()]

    def _status(self) -> str:
        if self._closed:
            return "closed"
        if self.state.terminated[0]:
            return "terminated"
        return "truncated" if self.state.truncated[0] else "playing"

    def _result(self) -> str:
        """What became of the game, one of :data:`RESULTS` or ``won``; empty where it goes on, or
        only its score says it.
        """
        points = float(self.game.points(self.state)[0])
        if points == 1.0 and "opponent" in self.game.tags:
            return "won"
        return RESULTS.get(points, "")

    def picture(self) -> bytes:
        """The frame as PNG."""
        with self._lock:
            state = self.state
        file = io.BytesIO()
        Image.fromarray(render(self.game, state, self.look)[0]).save(file, "PNG")
        return file.getvalue()

    def truth(self) -> str:
        """The true board as text; empty for a game without symbols."""
        with self._lock:
            return truth(self.game, self.state)[0]

    def oracle(self) -> dict[str, Any]:
        """A best action: its text, what it does and its value; the text is None where there is
        none.

        Turns that follow such a look say so in the think block of their reply.
        """
        with self._lock:
            values = self.game.oracle(self.state)[0]
            best = best_action(values)
            if self.state.ended[0] or best == NO_ACTION:
                return {"answer": None, "does": "", "value": None}
            self._helped = True
            return {
                "answer": self.game.encode(self.level, best),
                "does": self.game.explain(self.state, 0, best),
                "value": float(values[best]),
            }

    # ---- playing
    def act(self, answer: str, number: int | None = None) -> dict[str, Any]:
        """Play a turn with the text of an answer, and return the new :meth:`view`.

        Args:
            answer: what a model would put into its answer block.
            number: the ``n`` of the view that is answered; an answer to an earlier one does not
                count.

        Raises:
            OSError: the turn could not be written down, so it was not played.
        """
        with self._lock:
            refusal = self._refusal(answer, number)
            if refusal:
                return self.view(refusal)
            text = self._reply(answer)
            reply = parse(self.game, self.level, text)
            if reply.action == NO_ACTION:
                reason = REASONS.get(reply.problem, reply.problem.value)
                expected = self.game.answer_format(self.level)
                return self.view(f"{reason}. Expected: {expected}")
            self._play(text)
            try:
                if self.state.ended[0]:
                    self._finish()
            except OSError as error:
                return self.view(
                    f"the turn counts, but the end of the game could not be written: {error}"
                )
            return self.view()

    def _refusal(self, answer: str, number: int | None) -> str:
        """Why an answer is not even read; empty if it is."""
        if number not in (None, self._number):
            return "the board had changed meanwhile, in another window"
        if self._closed:
            return "the session has ended"
        if self._status() != "playing":
            return "this game has ended: start a new one"
        if len(answer) > LONGEST:
            return f"an answer has at most {LONGEST} characters"
        if "<" in answer:
            return "an answer holds no <: it could not be told from the marks of the reply"
        return ""

    def _reply(self, answer: str) -> str:
        """The reply of a model that describes the board right and gives this answer."""
        perception = truth(self.game, self.state)[0]
        think = f"{PLAYER}, shown the oracle's move" if self._helped else PLAYER
        return write_reply(perception, think, answer)

    def _play(self, text: str) -> None:
        """Play a turn with a reply: write it down, then take it over."""
        now = time.perf_counter()
        after, (judgement,) = judge(self.game, self.state, [text])
        answer = Answer(text, seconds=now - self._since)
        turn = Turn.of(self.game, self.state, judgement, self._episode, self._turns, answer)
        self._write(turn)
        self._reward += judgement.terms["game"]
        self._turns += 1
        self._last = self._outcome(judgement)
        self.state = after
        self._helped = False
        self._number += 1
        self._since = time.perf_counter()

    def _outcome(self, judgement: Judgement) -> dict[str, Any]:
        action = judgement.reply.action
        text = self.game.encode(self.level, action)
        if self._kind == "moves":
            text += f" ({MOVES[action]})"
        return {
            "answer": text,
            "uncovered": self.game.uncovered(self.state, 0, action),
            "gain": judgement.gain,
            "changed": judgement.changed,
            "reward": judgement.terms["game"],
        }

    def new(self) -> dict[str, Any]:
        """Leave the game, if it has not ended, and start the next one.

        Raises:
            OSError: the end of the game could not be written down; it stays.
        """
        with self._lock:
            if not self._closed:
                self._finish()
                self.index += 1
                self._deal()
            return self.view()

    def close(self) -> None:
        """Leave the game and end the session; the trace is on disk then."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            try:
                self._finish()
                if self._writer is not None:
                    self._writer.close()
            finally:
                if self._claim is not None:
                    os.close(self._claim)

    # ---- saving
    def _write(self, record: Turn | Episode) -> None:
        if self._writer is None:
            self._writer = TraceWriter(self._trace)
        if self._run is not None:
            self._writer.write(self._run)
            self._run = None
        self._writer.write(record)

    def _finish(self) -> None:
        """Write the episode, once, if it has turns; and the summary of the whole trace.

        What failed is tried again.
        """
        if self._saved or not self._turns:
            return
        if not self._finished:
            self._write(episode_record(self._episode, self._turns, self._reward, self.state))
            self._finished = True
            self._episode += 1
        write_json(self.folder / "summary.json", self._summary())
        self._saved = True

    def _summary(self) -> dict[str, Any]:
        """The numbers of the whole trace; baselines beside them if no game was left."""
        records = list(read_trace(self._trace))
        turns = [record for record in records if isinstance(record, Turn)]
        episodes = [record for record in records if isinstance(record, Episode)]
        evaluation = Evaluation(episodes=len(episodes), first=self.first)
        metrics = summarise(turns, episodes)
        any_left = any(episode.end == "stopped" for episode in episodes)
        level = self.task.names.level
        return {
            "player": PLAYER,
            "task": self.task.to_dict(),
            "evaluation": asdict(evaluation),
            "metrics": {name: estimate.to_dict() for name, estimate in metrics.items()},
            "baselines": {} if any_left else baselines.stored(self.game, level),
        }
