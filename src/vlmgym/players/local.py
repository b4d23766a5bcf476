"""Any image-text model of Transformers as a player, batched, on CPU or GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image

from vlmgym import prompt
from vlmgym.core import Game, State
from vlmgym.looks import Look, get_look
from vlmgym.pixels import Pixels, quicken
from vlmgym.players.base import Player
from vlmgym.render import frame_size, pictures


class LocalPlayer(Player):
    """Draws the picture, asks the model, returns its text.

    Args:
        model: an image-text model.
        processor: its processor (left padding).
        name: shown in tables.
        look: look of the pictures.
        style: prompt style, see :func:`vlmgym.prompt.prompt_text`.
        banned: token ids that are never generated.
        max_new_tokens: length limit of a reply.
        temperature: 0 = greedy; else sampled at this temperature, seeded by ``seed``.
        batch: states asked at once.
        seed: of the sampling.
    """

    def __init__(
        self,
        model: Any,
        processor: Any,
        *,
        name: str,
        look: str | Look,
        style: str = "full",
        banned: Sequence[int] = (),
        max_new_tokens: int = 512,
        temperature: float = 0.0,
        batch: int = 32,
        seed: int = 0,
    ) -> None:
        self.model, self.processor, self.name = model, processor, name
        self.look, self.style, self.banned = get_look(look), style, list(banned)
        self.max_new_tokens, self.temperature, self.batch = max_new_tokens, temperature, batch
        self.seed = seed
        self.pixels: Pixels | None = getattr(getattr(quicken(processor), "image_processor", None), "pixels", None)
        self._texts: dict[Any, tuple[str, dict[str, Any] | None]] = {}
        self._calls = 0

    def reply(self, game: Game, state: State) -> list[str]:
        """See :class:`Player`."""
        import torch

        was_training = self.model.training
        self.model.eval()
        out: list[str] = []
        options: dict[str, Any] = {"max_new_tokens": self.max_new_tokens, "do_sample": self.temperature > 0}
        if self.temperature > 0:
            options |= {"temperature": self.temperature, "top_k": 0, "top_p": 1.0}
        if self.banned:
            options["suppress_tokens"] = self.banned
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(self.seed * 1_000_003 + self._calls)
            for start in range(0, len(state), self.batch):
                part = state[start : start + self.batch]
                inputs = self._inputs(game, part).to(self.model.device)
                tokens = self.model.generate(**inputs, **options)[:, inputs["input_ids"].shape[1] :]
                out += self.processor.batch_decode(tokens, skip_special_tokens=True)
                if self.on_answers:
                    self.on_answers(len(part))
        self._calls += 1
        self.model.train(was_training)
        return out

    def _inputs(self, game: Game, state: State) -> Any:
        """Model inputs of a batch: the text, which is the same for all, is read once; pictures are drawn into the inputs."""
        import torch
        from transformers import BatchFeature

        key = game.name, state.level
        if key not in self._texts:
            ask = prompt.messages(prompt.prompt_text(game, state.level, self.style))
            self._texts[key] = self.processor.apply_chat_template(ask, add_generation_prompt=True, tokenize=False), None
        text, row = self._texts[key]
        height, width = frame_size(game, state.level, self.look)
        if not (self.pixels and self.pixels.exact(height, width)):
            frames = pictures(game, state, self.look)
            return self.processor(text=[text] * len(frames), images=frames, return_tensors="pt", padding=True)
        if row is None:
            blank = Image.new("RGB", (width, height))
            row = dict(self.processor(text=[text], images=[blank], return_tensors="pt", padding=True))
            self._texts[key] = text, row
        drawn = {name: torch.from_numpy(value) for name, value in self.pixels.boards(game, state, self.look).items()}
        return BatchFeature({k: v.repeat_interleave(len(state), 0) for k, v in row.items() if k not in drawn} | drawn)
