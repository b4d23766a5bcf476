"""Ten minutes of damaged input for every reader (``make test-fuzz``); each subject's own test does the same with few inputs.

A reader that fails once, fails. What was tried is printed as a table, which docs/reliability.md holds.
VLMGYM_FUZZ_SECONDS sets another length.
"""

import importlib
import os
import sys
import time

import pytest

SUBJECTS = {
    "test_prompt": "replies, descriptions, judged moves",
    "test_state_bytes": "states",
    "test_trace": "traces, summaries, protocols' records",
    "test_config": "recipes, protocols, studies, prices",
    "test_photos": "photographs",
    "test_wire": "answers of endpoints",
    "test_cli": "command lines",
}
SECONDS = float(os.environ.get("VLMGYM_FUZZ_SECONDS", "600")) / len(SUBJECTS)
ROUND = 400


@pytest.mark.parametrize("module", SUBJECTS)
def test_nothing_that_is_read_ends_in_anything_but_a_result_or_one_sentence(module):
    fuzz = importlib.import_module(module).fuzz
    tried, failed, seed, end = {}, {}, 1000, time.monotonic() + SECONDS
    while time.monotonic() < end:
        for reader, (count, failures) in fuzz(ROUND, seed).items():
            tried[reader] = tried.get(reader, 0) + count
            failed[reader] = failed.get(reader, 0) + failures
        seed += 1
    sys.stdout.write("\n" + "".join(f"| {reader} | {tried[reader]:,} | {failed[reader]} |\n" for reader in tried))
    assert tried
    assert not any(failed.values()), failed
