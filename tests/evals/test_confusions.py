"""Which symbols are taken for which: counted cell by cell."""

from collections import Counter

import numpy as np
import pytest

from parts.evaluations import describer, next_symbol, run
from vlmgym.core import ConfigError
from vlmgym.episodes.trace import load_trace
from vlmgym.evals.confusions import confusion, misread
from vlmgym.evals.settings import Evaluation
from vlmgym.games import get_game
from vlmgym.players.teacher import Teacher


@pytest.mark.parametrize(
    ("game", "level"),
    [("2048", "easy"), ("ShisenSho", "normal"), ("Sokoban", "easy"), ("SlidingPuzzle", "easy")],
)
def test_confusion_and_misread_agree_with_a_count_cell_by_cell(tmp_path, game, level):
    rng = np.random.default_rng(5)

    def change(symbols, count):
        hit = rng.random(symbols.shape)
        return np.where(
            hit < 0.2, rng.integers(count, size=symbols.shape), np.where(hit < 0.3, -1, symbols)
        )

    turns = load_trace(
        run(describer(change), tmp_path, game=game, level=level) / "trace.jsonl"
    ).finished()
    expected, wrong, told = Counter(), Counter(), Counter()
    for turn in turns:
        rules, state = turn.load()
        scene = rules.scene(state)
        for r, c in np.ndindex(*scene.symbols.shape[1:]):
            true, seen = scene.names[scene.symbols[0, r, c]], turn.seen[r][c]
            expected[true, scene.names[seen] if seen >= 0 else None] += 1
            told[r, c] += seen >= 0
            wrong[r, c] += seen >= 0 and scene.names[seen] != true
    table = confusion(turns)
    names = [*table.names, None]
    found = {(names[i], names[j]): int(table.counts[i, j]) for i, j in np.argwhere(table.counts)}
    assert found == {key: value for key, value in expected.items() if value}
    assert table.wrong.sum() == sum(wrong.values())
    shares = misread(turns)
    assert shares.dtype == np.float64
    assert shares == pytest.approx(
        np.array(
            [[wrong[r, c] / told[r, c] for c in range(shares.shape[1])] for r in range(len(shares))]
        )
    )


def test_misread_knows_places_and_what_is_never_told(tmp_path):
    turns = load_trace(run(describer(next_symbol), tmp_path) / "trace.jsonl").finished()
    shares = misread(turns)
    assert np.isnan(shares[0, 0])
    assert (shares[:, -1] == 1).all()
    assert np.nansum(shares[:, :-1]) == 0
    assert confusion(turns).counts[:, -1].sum() == len(turns)


def test_symbols_of_several_levels_meet_by_name(tmp_path):
    small = load_trace(
        run(Teacher(), tmp_path / "s", game="SlidingPuzzle", level="tiny") / "trace.jsonl"
    ).finished()
    large = load_trace(
        run(Teacher(), tmp_path / "l", game="SlidingPuzzle", level="hard") / "trace.jsonl"
    ).finished()
    parts, both = [confusion(part) for part in (small, large)], confusion([*small, *large])
    assert (
        len(both.names)
        == max(len(part.names) for part in parts)
        > min(len(part.names) for part in parts)
    )
    for name, count in zip(both.names, np.diag(both.counts), strict=False):
        assert count == sum(
            int(part.counts[part.names.index(name)].sum()) for part in parts if name in part.names
        )
    with pytest.raises(ConfigError, match="one board size"):
        misread([*small, *large])
    other = load_trace(run(Teacher(), tmp_path / "o") / "trace.jsonl").finished()
    for function in (confusion, misread):
        with pytest.raises(ConfigError, match="one game"):
            function([*small, *other])
    assert confusion([]).counts.shape == (0, 1)
    with pytest.raises(ConfigError, match="one board size"):
        misread([])


def test_worst_symbols_are_those_of_the_most_frequent_confusions(tmp_path):
    game = get_game("ShisenSho")
    a, b, c, d = np.unique(game.reset(game.level("easy"), np.zeros(1, np.uint64)).board)[
        -4:
    ].tolist()

    def change(symbols, count):
        odd = np.arange(symbols.size).reshape(symbols.shape) % 2 == 1
        return np.where(symbols == b, d, np.where((symbols == c) & odd, a, symbols))

    turns = load_trace(
        run(describer(change), tmp_path, Evaluation(episodes=40, turns=1), game="ShisenSho")
        / "trace.jsonl"
    ).finished()
    table = confusion(turns)
    pairs = sorted(
        ((table.counts[i, j], i, j) for i, j in np.ndindex(*table.wrong.shape) if i != j),
        reverse=True,
    )
    assert {(i, j) for n, i, j in pairs if n} == {(b, d), (c, a)}
    assert table.worst(2) == sorted(pairs[0][1:])
    assert table.worst(4) == [a, b, c, d]
    assert set(table.worst(5)) > {a, b, c, d}
    assert len(table.worst(500)) == len(
        {s for s in range(len(table.names)) if table.counts[s].any() or table.counts[:, s].any()}
    )
