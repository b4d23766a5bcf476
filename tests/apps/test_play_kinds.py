"""Every kind of answer is given by clicks and keys, and another game is chosen on the page."""

import os

import numpy as np
import pytest

from parts.chromium import Chromium
from parts.play_page import READY, PlayBrowser, ask, good_answer, records, served
from vlmgym.apps.play.inputs import input_kind
from vlmgym.games import GAMES
from vlmgym.games.parts.action_texts import read_cell, read_cells

KINDS = {
    "LightsOut": "cell",
    "Jigsaw": "pair",
    "Set": "triple",
    "Sudoku": "value",
    "ConnectFour": "column",
    "TowersOfHanoi": "columns",
    "Tetris": "column_turn",
    "RushHour": "choice",
    "FloodIt": "choice",
    "Snake": "moves",
}
"""How a person answers, of one game of each kind and two of choices."""


@pytest.mark.parametrize("name", GAMES)
def test_no_game_has_to_be_typed(name):
    game = GAMES[name]
    kind = input_kind(game, game.level("normal"))
    assert kind not in ("text", "buttons")
    assert KINDS.get(name, kind) == kind


def test_another_game_is_chosen_and_every_session_is_kept(tmp_path):
    with served(tmp_path / "first", "2048", "easy") as server:
        number = ask(server, "/act", {"answer": good_answer(server.session)})[1]["n"]
        values = {"game": "Minesweeper", "level": "hard", "look": "tiny"}
        status, view = ask(server, "/choose", values)
        assert status == 200
        assert (view["game"], view["level"], view["look"]) == ("Minesweeper", "hard", "tiny")
        assert view["n"] > number
        assert view["turn"] == 0
        stale = ask(server, "/act", {"answer": "(0, 0)", "n": number})[1]
        assert "another window" in stale["refused"]
        ask(server, "/act", {"answer": good_answer(server.session)})
        back = {"game": "2048", "level": "easy", "look": "clean"}
        assert ask(server, "/choose", back)[1]["game"] == "2048"
    runs, turns, episodes = records(tmp_path / "first")
    assert ([run.game for run in runs], len(turns)) == (["2048"], 1)
    assert [episode.end for episode in episodes] == ["stopped"]
    assert [run.game for run in records(tmp_path / "first-2")[0]] == ["Minesweeper"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"game": "parts.play_page:lamp_game"}, "game"),
        ({"level": "brutal"}, "level"),
        ({"look": "clean:tile=1"}, "Look.tile"),
        ({"look": "clean:width=20"}, "Look.width"),
    ],
)
def test_what_cannot_be_chosen_is_said_and_the_game_goes_on(tmp_path, change, word):
    with served(tmp_path, "2048", "easy") as server:
        chosen = {"game": "2048", "level": "normal", "look": "clean", **change}
        status, view = ask(server, "/choose", chosen)
        assert status == 200
        assert word in view["refused"]
        assert (view["level"], view["status"]) == ("easy", "playing")
        assert ask(server, "/act", {"answer": good_answer(server.session)})[1]["turn"] == 1
        assert ask(server, "/choose", {"game": "2048"})[0] == 400
        assert ask(server, "/choose", chosen, token=False)[0] == 403


@pytest.fixture(scope="module")
def browser():
    with Chromium() as one:
        yield one


class TestKinds(PlayBrowser):
    """Left out with VLMGYM_NO_BROWSER=1; without it, a missing browser is a failure."""

    __test__ = os.environ.get("VLMGYM_NO_BROWSER") != "1"

    def click_tiles(self, browser, server, *cells):
        for cell in cells:
            browser.click(*self.place(browser, server, cell))

    def press(self, browser, label):
        buttons = "[...document.querySelectorAll('#pad button')]"
        number = browser.run(f"{buttons}.findIndex(b => b.textContent === {label!r})")
        browser.click_on(f"#pad button:nth-child({number + 1})")

    def played(self, browser, folder, answer, turn=1):
        """Wait for the turn; it was played with this answer, and the page looks right."""
        browser.wait(f"document.getElementById('turn').textContent.startsWith('{turn}')")
        turns = records(folder)[1]
        assert len(turns) == turn
        assert f"<answer>{answer}</answer>" in turns[-1].reply
        if shots := os.environ.get("VLMGYM_SHOTS"):
            browser.screenshot(f"{shots}/play-{turns[-1].load()[0].name}.png")

    def test_three_tiles(self, browser, tmp_path):
        with self.opened(browser, tmp_path, "Set", "easy") as server:
            answer = good_answer(server.session)
            cells = read_cells(answer)
            self.click_tiles(browser, server, cells[0], cells[1], cells[1], cells[1])
            assert "third tile" in self.shown(browser, "message")
            self.click_tiles(browser, server, cells[2])
            self.played(browser, tmp_path, answer)

    def test_a_piece_is_turned_by_two_clicks(self, browser, tmp_path):
        with self.opened(browser, tmp_path, "Jigsaw", "hard") as server:
            game = server.session.game
            legal = np.flatnonzero(game.legal(server.session.state)[0]).tolist()
            texts = [game.encode(server.session.level, action) for action in legal]
            answer = next(text for text in texts if len(set(read_cells(text))) == 1)
            self.click_tiles(browser, server, *read_cells(answer))
            self.played(browser, tmp_path, answer)

    def test_a_tile_and_what_is_written_there(self, browser, tmp_path):
        with self.opened(browser, tmp_path, "Sudoku", "easy", width=390) as server:
            answer = good_answer(server.session)
            cell, value = answer.rsplit(" ", 1)
            self.press(browser, value)
            assert self.shown(browser, "message") == "Choose a tile first."
            self.click_tiles(browser, server, read_cell(cell))
            self.press(browser, value)
            self.played(browser, tmp_path, answer)
            answer = good_answer(server.session)
            cell, value = answer.rsplit(" ", 1)
            browser.wait(READY)
            self.click_tiles(browser, server, read_cell(cell))
            browser.key(value)
            self.played(browser, tmp_path, answer, 2)

    def test_a_column(self, browser, tmp_path):
        with self.opened(browser, tmp_path, "ConnectFour", "easy") as server:
            answer = good_answer(server.session)
            self.click_tiles(browser, server, (0, int(answer)))
            self.played(browser, tmp_path, answer)

    def test_from_a_column_to_a_column(self, browser, tmp_path):
        with self.opened(browser, tmp_path, "TowersOfHanoi", "easy") as server:
            answer = good_answer(server.session)
            first, second = map(int, answer.split())
            self.click_tiles(browser, server, (0, first), (1, first), (0, first))
            assert f"column {first} is marked" in self.shown(browser, "message")
            self.click_tiles(browser, server, (1, second))
            self.played(browser, tmp_path, answer)

    def test_a_turn_and_a_column(self, browser, tmp_path):
        with self.opened(browser, tmp_path, "Tetris", "easy") as server:
            game = server.session.game
            texts = [
                game.encode(server.session.level, int(action))
                for action in np.flatnonzero(game.legal(server.session.state)[0])
            ]
            answer = next(text for text in texts if text.endswith(" 1"))
            browser.key("r")
            self.click_tiles(browser, server, (server.session.level.rows - 1, int(answer[0])))
            self.played(browser, tmp_path, answer)
            browser.wait(READY)
            self.press(browser, "0")
            pressed = "#pad [aria-pressed=true]"
            assert browser.run(f"document.querySelector('{pressed}').textContent") == "0"

    def test_a_car_and_where_to(self, browser, tmp_path):
        keys = {"up": "Up", "right": "Right", "down": "Down", "left": "Left"}
        with self.opened(browser, tmp_path, "RushHour", "easy") as server:
            answer = good_answer(server.session)
            car, way = answer.split()
            tiles = server.session.view()["tiles"]
            cell = next(
                (row, column)
                for row, line in enumerate(tiles)
                for column, text in enumerate(line)
                if car in text.split()
            )
            self.click_tiles(browser, server, cell)
            visible = "[...document.querySelectorAll('#pad button')].filter(b => !b.hidden)"
            labels = browser.run(f"{visible}.map(b => b.textContent)")
            assert answer in labels
            assert {label.split()[0] for label in labels} == {car}
            browser.key(f"Arrow{keys[way]}")
            self.played(browser, tmp_path, answer)

    def test_a_tile_that_says_it_all(self, browser, tmp_path):
        with self.opened(browser, tmp_path, "FloodIt", "easy") as server:
            answer = good_answer(server.session)
            tiles = server.session.view()["tiles"]
            cell = next(
                (row, column)
                for row, line in enumerate(tiles)
                for column, text in enumerate(line)
                if answer in text.split()
            )
            self.click_tiles(browser, server, cell)
            self.played(browser, tmp_path, answer)

    def test_game_level_and_look_are_chosen(self, browser, tmp_path):
        pick = (
            "(s => (s.value = {value!r}, s.dispatchEvent(new Event('change', {{bubbles: true}}))))"
            "(document.getElementById('pick-{name}'))"
        )
        with self.opened(browser, tmp_path, "Swap", "easy", width=390) as server:
            browser.run(pick.format(name="game", value="2048"))
            browser.wait(f"view.game === '2048' && {READY}")
            assert server.session.task.names.level == "normal"
            browser.run(pick.format(name="look", value="tiny"))
            browser.wait(f"view.look === 'tiny' && {READY}")
            browser.run(pick.format(name="level", value="hard"))
            browser.wait(f"view.level === 'hard' && {READY}")
            browser.key("ArrowUp")
            browser.wait("document.getElementById('turn').textContent.startsWith('1 ')")
            assert server.session.task.names.game == "2048"
