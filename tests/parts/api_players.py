"""Players behind an endpoint of a test, and one question to them."""

import asyncio
import json
import math
from collections import Counter

from parts.endpoint import answer
from parts.mutate import json_mutations, mutations
from vlmgym.core import seeds_for
from vlmgym.episodes.task import Task
from vlmgym.players.anthropic import AnthropicPlayer
from vlmgym.players.api_settings import ApiSettings
from vlmgym.players.base import Query
from vlmgym.players.faults import Fault
from vlmgym.players.openai import OpenAIPlayer
from vlmgym.players.wire import Reply

TASK = Task(game="2048", level="easy:max_steps=20", look="tiny", prompt="brief")
KINDS = {"api": (OpenAIPlayer, "/v1"), "anthropic": (AnthropicPlayer, "")}
GAME, LEVEL, LOOK = TASK.game, TASK.level, TASK.look
QUERY = Query(GAME, GAME.reset(LEVEL, seeds_for("test", "2048", "easy", 1)), LOOK, "brief")
FAST = {"backoff_seconds": 0.01, "most_backoff_seconds": 0.05}


def player_of(kind, endpoint, sampling=None, prices=None, **settings):
    make, path = KINDS[kind]
    return make(
        "some/model", endpoint.url + path, sampling, ApiSettings(**{**FAST, **settings}), prices
    )


def ask(player):
    """The answer to one question."""

    async def once():
        async with player:
            return await player.ask(QUERY)

    return asyncio.run(once())


def endpoint_answer(endpoint):
    """What it answered to the last question."""
    return answer(endpoint.requests[-1][2]["messages"])


JSON = {"content-type": "application/json"}
TEXT = "<perception>a board</perception><think>so be it</think><answer>1</answer>"


def opened(kind, url, work, **settings):
    """The value of ``work(player)`` for a player whose line is open."""

    async def go():
        async with KINDS[kind][0](
            "m", url + KINDS[kind][1], None, ApiSettings(**{**FAST, **settings})
        ) as player:
            return work(player)

    return asyncio.run(go())


def told(player, status, body, headers=JSON):
    """All that is told of a reply: the answer, or why there is none."""
    try:
        answer = player._read(
            Reply(status, headers, body if isinstance(body, bytes) else body.encode())
        )
    except Fault as fault:
        return fault.reason
    return "\n".join([answer.text, answer.reasoning, answer.finish])


FORMS = {
    "api": {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1730000000,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": TEXT,
                    "refusal": None,
                    "reasoning_content": "I looked.",
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 812,
            "completion_tokens": 64,
            "total_tokens": 876,
            "completion_tokens_details": {"reasoning_tokens": 5},
        },
    },
    "anthropic": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [
            {"type": "thinking", "thinking": "I looked.", "signature": "x"},
            {"type": "text", "text": TEXT},
        ],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 812, "output_tokens": 64, "cache_read_input_tokens": 0},
    },
}


def fuzz_bodies(count, seed):
    """Bodies of replies, damaged as text and as JSON: each is an answer in range or a fault,
    whatever it holds.

    Returns:
        How many were tried, how many were answers, and how many were neither (``failures``).
    """
    found = Counter(tried=0, answers=0, failures=0)
    prices = {"input": 1e6, "output": 1e6}
    for number, (kind, form) in enumerate(FORMS.items()):
        player = KINDS[kind][0]("m", "http://h/v1", None, None, prices)
        share = count // len(FORMS) // 2
        bodies = [json.dumps(form, indent=None if seed % 2 else 1).encode()]
        bodies += (json.dumps(one).encode() for one in json_mutations(form, share, seed + number))
        bodies += mutations(bodies[0], share, seed + number)
        for body in bodies:
            status = (200, 200, 200, 400, 500, 302)[found["tried"] % 6]
            found["tried"] += 1
            try:
                answer = player._priced(
                    player._read(
                        Reply(status, {**JSON, "retry-after": body[:20].decode("latin-1")}, body)
                    ),
                    1,
                    0.0,
                )
            except Fault as fault:
                found["failures"] += not (fault.reason.isprintable() and len(fault.reason) < 800)
            except Exception:  # noqa: BLE001 - that is what is counted
                found["failures"] += 1
            else:
                tokens = (answer.input_tokens, answer.output_tokens, answer.reasoning_tokens)
                good = all(
                    type(one) is int and 0 <= one <= 10**9 for one in tokens
                ) and math.isfinite(answer.cost)
                good &= all(
                    isinstance(one, str) for one in (answer.text, answer.reasoning, answer.finish)
                )
                found["answers"] += 1
                found["failures"] += (
                    not good or not json.dumps(answer.text, ensure_ascii=False).encode()
                )
    return dict(found)
