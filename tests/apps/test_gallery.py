"""The gallery and the pages of the games: complete, from the classes, and the committed ones are
the present ones.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from parts.folders import DOCS
from vlmgym.apps import gallery
from vlmgym.cli import main
from vlmgym.games import GAMES, game_names
from vlmgym.games.bundled import EXTRA_GAMES
from vlmgym.render.looks import LOOKS

PAGES = DOCS / "games"


def test_the_command_writes_pictures_and_pages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gallery", "--out", str(tmp_path), "--game", "2048", "--game", "FrozenLake"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "index.html")
    with Image.open(tmp_path / "2048.jpg") as picture:
        assert picture.size == (
            gallery.SIDE + len(LOOKS) * gallery.CELL,
            len(GAMES["2048"].LEVELS) * (gallery.CELL + gallery.HEAD),
        )
    page = (tmp_path / "FrozenLake.md").read_text()
    for part in (
        "maze_hard",
        "random-legal",
        "policy iteration",
        "https://gymnasium.farama.org",
        "`slip`",
    ):
        assert part in page, part
    assert "nan" not in page
    assert 'src="looks.jpg"' in (tmp_path / "index.html").read_text()


@pytest.fixture(scope="module")
def present() -> dict[str, str]:
    """What the command writes with all games of this package, those of extras included."""
    for _, module in EXTRA_GAMES.values():
        pytest.importorskip(module)
    return gallery.pages([*GAMES, *EXTRA_GAMES])


COMMITTED = sorted(path.name for path in PAGES.iterdir() if path.suffix in (".md", ".html"))


@pytest.mark.parametrize("file", COMMITTED)
def test_committed_pages_are_the_present_ones(file: str, present: dict[str, str]) -> None:
    """If this fails: `vlmgym gallery --out docs/games`."""
    assert (PAGES / file).read_text(encoding="utf-8") == present[file]


def test_all_pages_are_committed_with_their_pictures(present: dict[str, str]) -> None:
    assert sorted(present) == COMMITTED
    pictures = {f"{Path(file).stem}.jpg" for file in present if file.endswith(".md")}
    pictures = pictures - {"README.jpg"} | {"games.jpg"}
    assert {path.name for path in PAGES.glob("*.jpg")} == pictures


def test_games_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["games"]) == 0
    shown = capsys.readouterr().out
    for name in game_names():
        assert f"\n{name} " in shown
    assert {*GAMES, "Breakout"} <= set(game_names())


def test_a_position_is_a_function_of_game_and_level() -> None:
    for name, game in GAMES.items():
        one, two = gallery.position(game, "easy"), gallery.position(game, "easy")
        assert one == two
        assert not one.ended[0], name


def test_sheets_shrink_what_is_too_large() -> None:
    page = gallery.sheet(
        [
            (
                "row",
                [
                    ("big", Image.new("RGB", (900, 300), (255, 0, 0))),
                    ("small", Image.new("RGB", (9, 9))),
                ],
            )
        ]
    )
    red = np.argwhere(np.asarray(page)[:, :, 1] < 10)
    assert np.ptp(red[:, 1]) < 2 * gallery.CELL
