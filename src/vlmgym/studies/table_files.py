"""Files of tables that are played state by state: a head, and a line a state."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vlmgym.core.differences import differences, refusal
from vlmgym.core.files import read_json_lines, write_atomically


def play_missing(
    out: Path, head: Mapping[str, Any], states: int, play_state: Callable[[int], dict[str, Any]]
) -> list[dict[str, Any]]:
    """The lines of all states in the file ``out``; those that are there already are not played
    again.

    Args:
        out: the file.
        head: what is played by whom, which is the first line.
        states: how many there are to be.
        play_state: plays the state of a number.

    Raises:
        ConfigError: the file holds tables with another head.
    """
    head = json.loads(json.dumps(head))
    lines = read_json_lines(out)
    if lines and (changes := differences(head, lines[0])):
        raise refusal(str(out), changes, "table")
    tables = lines[1:]
    out.parent.mkdir(parents=True, exist_ok=True)
    # without the unfinished line that a kill has left
    write_atomically(out, "".join(json.dumps(line) + "\n" for line in [head, *tables]))
    with out.open("a", encoding="utf-8") as file:
        for number in range(len(tables), states):
            tables.append(play_state(number))
            file.write(json.dumps(tables[-1]) + "\n")
            file.flush()
    return tables
