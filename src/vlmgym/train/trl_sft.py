"""What touches the parts of TRL's SFTTrainer: how rows become a batch.

Imports torch and TRL; import it where a run begins.
"""

from __future__ import annotations

from typing import Any

from trl.data_utils import apply_chat_template, prepare_multimodal_messages
from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling
from typing_extensions import override


class Collator(DataCollatorForVisionLanguageModeling):  # type: ignore[misc]
    """TRL's collator, for answers of which a beginning is given as well (column ``told``).

    What is given belongs to the prompt: it is not in the loss, and its tokens are those that a
    player and GRPO begin such an answer with. TRL knows no answers that go on: it would end the
    message after what is given and begin another.
    """

    @override
    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """The batch, from rows whose messages are written out as TRL does it."""
        batch: dict[str, Any] = super().torch_call([self._written(row) for row in examples])
        return batch

    def _written(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row with the texts of its prompt and its answer, cut behind what is given."""
        messages = {
            "prompt": prepare_multimodal_messages(row["prompt"], images=[row["image"]]),
            "completion": prepare_multimodal_messages(row["completion"]),
        }
        texts = apply_chat_template(messages, self.processor)
        told = row.get("told") or ""
        question, answer = texts["prompt"], texts["completion"]
        if not answer.startswith(told):
            raise ValueError(f"the answer does not begin with what is told: {told!r}")
        return {
            "prompt": question + told,
            "completion": answer[len(told) :],
            "images": [row["image"]],
        }
