"""Every kind of answer is given by clicks and keys, and another game is chosen on the page."""

import os

import numpy as np
import pytest

from parts.chromium import Chromium
from parts.play_page import READY, PlayBrowser, ask, good_answer, records, served
from vlmgym.apps.play.inputs import input_kind
from vlmgym.core import seeds_for
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


def played_to_the_end(session, wanted):
    """Answer with a legal action whose game ends with this result, or else with the next best."""
    game = session.game
    while session.view()["status"] == "playing":
        actions = np.flatnonzero(game.legal(session.state)[0])
        values = game.oracle(session.state)[0, actions]
        after, _ = game.step(session.state.repeat(len(actions)), actions)
        ends = game.points(after) == wanted
        action = actions[ends.argmax() if ends.any() else np.nanargmax(values)]
        session.act(game.encode(session.level, int(action)))
    return session.view()["result"]


@pytest.mark.parametrize(
    ("name", "level", "points", "result"),
    [
        ("TicTacToe", "easy", 1.0, "won"),
        ("TicTacToe", "easy:skill=1", 0.5, "drawn"),
        ("TicTacToe", "easy:skill=1", 0.0, "lost"),
        ("FrozenLake", "easy", 1.0, "solved"),
        ("FrozenLake", "easy", 0.0, "lost"),
        ("Minesweeper", "easy", 0.0, "lost"),
        ("Minesweeper", "easy", 1.0, "solved"),
        ("Snake", "easy", 0.0, "lost"),
        ("LightsOut", "easy", 1.0, "solved"),
        ("Memory", "easy", 1.0, "solved"),
        ("Battleship", "easy", 1.0, "solved"),
        ("Jigsaw", "easy", 1.0, "solved"),
        ("2048", "easy:max_steps=3", 1.0, ""),
    ],
)
def test_what_became_of_a_game_is_told(tmp_path, name, level, points, result):
    with served(tmp_path, name, level) as server:
        assert server.session.view()["result"] == ""
        assert played_to_the_end(server.session, points) == result


@pytest.mark.parametrize("name", GAMES)
def test_games_that_go_on_have_no_points_and_what_is_legal_is_possible(name):
    game = GAMES[name]
    state = game.reset("easy", seeds_for("free", name, "possible", 20))
    for _ in range(6):
        assert not (game.legal(state) & ~game.possible(state)).any()
        points = game.points(state)
        assert np.isnan(points[~state.terminated]).all()
        assert np.isin(points[~np.isnan(points)], (0, 0.5, 1)).all()
        state, _ = game.step(state, game.draw_legal(state))


def test_cars_have_buttons_along_their_line_only(tmp_path):
    with served(tmp_path, "RushHour", "normal") as server:
        session = server.session
        offered = [text for text, _ in session.view()["actions"]]
        cars = {name.split()[-1] for line in session.view()["tiles"] for name in line} - {"road"}
        assert {text[0] for text in offered} == cars
        for car in cars:
            ways = [text[2:] for text in offered if text[0] == car]
            assert ways in (["up", "down"], ["right", "left"])
        answer = next(f"A {way}" for way in ("up", "down"))
        view = ask(server, "/act", {"answer": answer})[1]
        assert (view["turn"], view["refused"]) == (1, ""), "typed answers may name any move"


def test_a_pair_that_vanishes_at_once_is_named(tmp_path):
    with served(tmp_path, "Memory", "easy") as server:
        state = server.session.state
        faces = state.faces[0].ravel()
        first = 0
        second = int(np.flatnonzero(faces[1:] == faces[0])[0]) + 1
        answer = server.session.game.encode(server.session.level, first * len(faces) + second)
        name = server.session.level.names[faces[0]]
        assert ask(server, "/act", {"answer": answer})[1]["last"]["uncovered"] == f"a pair: {name}"
        faces = server.session.state.faces[0].ravel()
        hidden = np.flatnonzero(server.session.state.board[0].ravel())
        other = next(cell for cell in hidden[1:] if faces[cell] != faces[hidden[0]])
        answer = server.session.game.encode(
            server.session.level, int(hidden[0] * len(faces) + other)
        )
        assert ask(server, "/act", {"answer": answer})[1]["last"]["uncovered"] == ""


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
            pressed = "#pad [aria-pressed=true]"
            told = f"document.querySelector('{pressed}').textContent"
            assert browser.run(told) == "0", "the next piece is not turned"
            browser.key("r")
            assert browser.run(told) == "1"
            self.press(browser, "0")
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
            assert "by the arrow keys" in self.shown(browser, "keys")
            browser.key(f"Arrow{keys[way]}")
            self.played(browser, tmp_path, answer)
            back = {"up": "down", "down": "up", "left": "right", "right": "left"}[way]
            browser.wait("marks.length === 1")
            browser.key(f"Arrow{keys[back]}")
            self.played(browser, tmp_path, f"{car} {back}", turn=2)

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

    def test_a_hole_is_told_as_a_loss(self, browser, tmp_path):
        with self.opened(browser, tmp_path, "FrozenLake", "easy") as server:
            game, session = server.session.game, server.session
            while session.view()["status"] == "playing":
                moves = np.flatnonzero(game.legal(session.state)[0])
                after, _ = game.step(session.state.repeat(len(moves)), moves)
                holes = game.points(after) == 0
                best = np.nanargmax(game.oracle(session.state)[0])
                action = moves[holes.argmax()] if holes.any() else best
                turn = session.view()["turn"]
                browser.key("wdsa"[action])
                browser.wait(f"view.turn === {turn + 1}")
            assert "You have lost. Final score 0." in self.shown(browser, "message")

    @pytest.mark.parametrize(("width", "height"), [(1280, 900), (760, 900), (390, 844)])
    @pytest.mark.parametrize("name", ["Tetris", "ConnectFour", "Jigsaw", "FloodIt"])
    def test_the_whole_board_is_on_the_page(self, browser, tmp_path, name, width, height):
        with self.opened(browser, tmp_path, name, "normal", width=width, height=height):
            box = browser.run(
                "(r => [r.x, r.y, r.right, r.bottom])"
                "(document.getElementById('picture').getBoundingClientRect())"
            )
            if shots := os.environ.get("VLMGYM_SHOTS"):
                browser.screenshot(f"{shots}/fit-{name}-{width}.png")
            assert box[0] >= 0
            assert box[2] <= width
            assert box[3] <= height

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
