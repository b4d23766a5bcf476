"""What a model was trained for: a small file beside its weights, which evaluations read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlmgym.core import ConfigError
from vlmgym.core.files import FileError, read_json, write_json
from vlmgym.episodes.task import Task
from vlmgym.models.loading import model_path
from vlmgym.players.blocks import PATHS

FILE = "vlmgym.json"
ASKED = ("game", "level", "look", "prompt", "reply")
"""Fields of a task that a model knows or does not know."""


@dataclass(frozen=True)
class TrainedFor:
    """What a model was trained for.

    Attributes:
        tasks: games with their levels, looks and prompts.
        max_new_tokens: most tokens of an answer in GRPO; 0 = there was none.
        model: what the training began with.
        path: whether it was to go on from a description with the picture, see
            :mod:`vlmgym.players.blocks`.
    """

    tasks: tuple[Task, ...]
    max_new_tokens: int = 0
    model: str = ""
    path: str = "open"

    def task(self, game: str) -> Task | None:
        """The first task of a game, or None."""
        return next((task for task in self.tasks if task.names.game == game), None)

    def warn(self, task: Task) -> str:
        """What of a task the model was never trained on, in one sentence; empty where it knows all
        of it.
        """
        same_game = [other for other in self.tasks if other.names.game == task.names.game]
        if not same_game:
            games = ", ".join(sorted({other.names.game for other in self.tasks}))
            return f"the model was never trained on {task.names.game} (it knows {games})"
        asked = task.to_dict()
        strange = []
        for field in ASKED[1:]:
            values = list(dict.fromkeys(other.to_dict()[field] for other in same_game))
            if asked[field] not in values:
                known_values = ", ".join(map(repr, values))
                strange.append(f"{field} = {asked[field]!r} (it knows {known_values})")
        if not strange:
            return ""
        return f"the model was never trained on {task.names.game} with {'; '.join(strange)}"

    def unknown(self, game: str, level: str, look: str, prompt: str, reply: str) -> str:
        """As :meth:`warn`, of a task that is given by its fields."""
        return self.warn(Task(game=game, level=level, look=look, prompt=prompt, reply=reply))

    def write(self, folder: Path) -> None:
        """Write the file into a model's folder."""
        tasks = []
        for task in self.tasks:
            fields = task.to_dict()
            tasks.append({name: value for name, value in fields.items() if name in ASKED})
        values = {
            "model": self.model,
            "max_new_tokens": self.max_new_tokens,
            "path": self.path,
            "tasks": tasks,
        }
        write_json(folder / FILE, values)


def trained_for(name: str) -> TrainedFor | None:
    """What the model of a name (``tiny`` or a folder) was trained for; None where its folder does
    not say.

    Raises:
        FileError: the file is no JSON of this form.
    """
    path = Path(model_path(name)) / FILE
    if not path.is_file():
        return None
    values = read_json(path)
    tasks = values.get("tasks")
    limit = values.get("max_new_tokens", 0)
    model = values.get("model", "")
    way = values.get("path", "open")
    is_ours = isinstance(tasks, list) and isinstance(limit, int) and isinstance(model, str)
    is_ours = is_ours and way in PATHS
    if not is_ours or not tasks:
        raise FileError(f"{path}: no list of tasks, or other fields than vlmgym writes")
    try:
        return TrainedFor(_tasks(tasks), limit, model, way)
    except ConfigError as error:
        raise FileError(f"{path}: {error}") from error


def _tasks(values: Sequence[Any]) -> tuple[Task, ...]:
    for fields in values:
        if not isinstance(fields, dict):
            raise ConfigError("tasks", fields, "a mapping of a task's fields")
    return tuple(Task.parse(fields) for fields in values)
