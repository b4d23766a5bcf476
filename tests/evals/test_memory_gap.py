"""The memory gap: what a player knows of cards that its history tells, or no longer tells."""

from __future__ import annotations

import numpy as np
import pytest

from vlmgym.core import seeds_for
from vlmgym.dialogue.perception import truth
from vlmgym.dialogue.reply import write_reply
from vlmgym.episodes.batch import EpisodeBatch, ObservationSettings, play
from vlmgym.episodes.lines import line_of, record_of
from vlmgym.evals.metrics import METRICS, shown_in, summarise
from vlmgym.games import get_game
from vlmgym.games.parts.cards import FIRST, UNSEEN
from vlmgym.players.base import Player
from vlmgym.players.registry import make_player

MEMORY = get_game("Memory")


class Reader(Player):
    """Takes a pair that it is told, by this picture or the earlier ones, else turns over cards that
    it was not told.
    """

    name = "reader"
    sees = "state"

    def describe(self):
        return {}

    def answer(self, queries):
        return [[self.reply(query, row) for row in range(len(query.state))] for query in queries]

    def reply(self, query, row):
        state = query.state[row]
        told = state.board[0].copy()
        for earlier, _ in query.past[row] if query.past else []:
            known = (told == UNSEEN) & (earlier.board[0] >= FIRST)
            told[known] = earlier.board[0][known]
        shown = MEMORY.from_symbols(state.level, told[None].astype(np.int16))
        values = np.where(MEMORY.legal(state)[0], MEMORY.oracle(shown)[0], np.nan)
        action = MEMORY.encode(state.level, int(np.nanargmax(values)))
        return write_reply(truth(MEMORY, state)[0], "", action)


def played(player, history=0, game=MEMORY, level="normal"):
    """The turns and the metrics of some episodes."""
    state = game.reset(level, seeds_for("test", game.name, level, 12))
    batch = EpisodeBatch(game, state, ObservationSettings(history=history), patience=0)
    play([batch], player)
    return batch.turns, summarise(batch.turns, batch.episodes())


def test_the_oracle_has_no_memory_gap():
    turns, metrics = played(make_player("oracle"), history=3)
    assert metrics["memory_gap"].mean == 0
    assert {turn.needed for turn in turns} == {"told", "before", "never"}
    for name in ("recalls_told", "recalls_before", "explores"):
        assert metrics[name].mean == 1
        assert metrics[name].n > 0


@pytest.mark.parametrize("history", [0, 2, 4])
def test_a_player_who_reads_all_that_it_is_told_forgets_only_the_rest(history):
    turns, metrics = played(Reader(), history)
    assert metrics["recalls_told"].mean in (1, pytest.approx(np.nan, nan_ok=True))
    assert metrics["recalls_before"].mean < 0.9
    failed = [turn for turn in turns if turn.terms["game"] < 0]
    assert {turn.needed for turn in failed} <= {"before", "never"}
    assert metrics["memory_gap"].mean == pytest.approx(1 - metrics["success"].mean)


def test_the_gap_closes_with_the_history():
    gaps = [played(Reader(), history)[1]["memory_gap"].mean for history in (0, 2, 4, -1)]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[0] > gaps[1] + 0.1
    assert gaps[-1] == 0


def test_with_all_history_nothing_was_shown_before_it():
    turns, metrics = played(Reader(), -1)
    assert "before" not in {turn.needed for turn in turns}
    assert metrics["recalls_before"].n == 0


def test_cards_that_were_shown_before_the_episode_began_are_not_told():
    state = MEMORY.reset("normal", seeds_for("test", "Memory", "walk", 30))
    for _ in range(6):
        state, _ = MEMORY.step(state, MEMORY.draw_legal(state))
    batch = EpisodeBatch(MEMORY, state, ObservationSettings(history=-1), turns=1)
    play([batch], make_player("random"))
    ago = MEMORY.shown_ago(state)
    for turn in batch.turns:
        expected = "never" if ago[turn.episode] < 0 else "before"
        assert turn.needed == ("told" if ago[turn.episode] == 0 else expected)
    assert "before" in {turn.needed for turn in batch.turns}


def test_other_games_have_no_memory_gap_and_show_none():
    game = get_game("2048")
    turns, metrics = played(make_player("random"), game=game, level="tiny")
    assert {turn.needed for turn in turns} == {""}
    assert metrics["memory_gap"].n == 0
    tagged = [name for name, metric in METRICS.items() if metric.tag == "memory"]
    assert set(tagged).isdisjoint(shown_in("report"))
    assert set(tagged) <= set(shown_in("report", {"memory"}))


def test_what_was_needed_stands_in_the_trace_where_it_is_known():
    turns, _ = played(make_player("random"))
    assert record_of(line_of(turns[3])) == turns[3]
    others, _ = played(make_player("random"), game=get_game("2048"), level="tiny")
    assert b"needed" not in line_of(others[0])
    assert record_of(line_of(others[0])) == others[0]
