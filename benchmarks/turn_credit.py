"""Play forked turns with a policy: states, answers to each, and many continuations of each
different answer by the policy itself. `vlmgym credit FILE` compares estimators of credit on them.
What is there already is not played again.

usage: python benchmarks/turn_credit.py FILE [--model tiny --game 2048 --level tiny --states 50]
"""

import argparse
import sys
from pathlib import Path

from vlmgym.episodes.task import Task
from vlmgym.players import make_player
from vlmgym.studies.turn_tables import TurnSize, play_turns

LOOK = "tiny:width=112,height=112"


def main():
    """Play what is missing, and say how many states there are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--game", default="2048")
    parser.add_argument("--level", default="tiny")
    parser.add_argument("--look", default=LOOK)
    parser.add_argument("--prompt", default="brief")
    parser.add_argument("--walk-min", type=int, default=4)
    parser.add_argument("--walk-max", type=int, default=20)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--max-tokens", type=int, default=192)
    for name, value in {"states": 50, "answers": 8, "continuations": 64, "turns": 8}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    asked = parser.parse_args()
    task = Task(
        asked.game,
        asked.level,
        asked.look,
        prompt=asked.prompt,
        walk_min=asked.walk_min,
        walk_max=asked.walk_max,
    )
    sampling = {"temperature": asked.temperature, "max_tokens": asked.max_tokens}
    player = make_player(f"local:{asked.model}", asked.look, asked.prompt, sampling)
    size = TurnSize(asked.states, asked.answers, asked.continuations, asked.turns)
    tables = play_turns(player, task, size, asked.file)
    sys.stdout.write(f"{len(tables.states)} states in {asked.file}\n")


if __name__ == "__main__":
    main()
