"""A stand-in for verl's server of answers, in a module that Ray's workers can import."""

from verl.workers.rollout.replica import TokenOutput


class Server:
    """Answers 0, 1, 2, ... in turn, or says nothing of use in every third turn; records what it was
    asked.
    """

    def __init__(self, tokenizer):
        self.tokenizer, self.seen, self.said, self.limits = tokenizer, [], [], []

    async def generate(self, request_id, *, prompt_ids, sampling_params, image_data=None, **_):
        number = len(self.said)
        text = (
            "hm"
            if number % 3 == 2
            else f"<perception>x</perception><think>t</think><answer>{number % 4}</answer>"
        )
        self.seen.append((list(prompt_ids), list(image_data or [])))
        self.said.append(text)
        self.limits.append(sampling_params["max_tokens"])
        ids = self.tokenizer.encode(text + self.tokenizer.eos_token, add_special_tokens=False)[
            : self.limits[-1]
        ]
        steps = {"min_global_steps": number, "max_global_steps": number + 1}
        return TokenOutput(token_ids=ids, log_probs=[-0.5 - number] * len(ids), extra_fields=steps)
