"""The page on which a person plays, with real clicks and keys in a browser."""

import os

import numpy as np
import pytest

from parts import play_page
from parts.chromium import Chromium
from parts.play_page import READY, PlayBrowser, ask, good_answer, records, screen_game, served
from vlmgym.dialogue.perception import NO_TRUTH
from vlmgym.games import get_game
from vlmgym.games.parts.action_texts import read_pair


@pytest.fixture(scope="module")
def lamp():
    play_page.lamp_game = screen_game()
    return "parts.play_page:lamp_game"


def test_games_without_a_grid_have_buttons(tmp_path, lamp):
    with served(tmp_path, lamp, "easy") as server:
        view = ask(server, "/state")[1]
        assert view["input"] == "buttons"
        assert view["grid"] == [0, 0]
        assert view["size"] == [40, 60]
        assert view["actions"] == [["wait & see", "wait & see"], ["brighter", "brighter"]]
        assert ask(server, "/truth")[1]["text"] == NO_TRUTH
        assert ask(server, "/oracle", {})[1]["answer"] is None
        assert ask(server, "/act", {"answer": "Brighter"})[1]["score"] == 1
    (run,), (turn,), _ = records(tmp_path)
    assert run.game == lamp
    assert turn.terms["format"] == 1
    assert turn.p_acc is None
    assert get_game(lamp) is server.session.game


@pytest.fixture(scope="module")
def browser():
    with Chromium() as one:
        yield one


class TestBrowser(PlayBrowser):
    """Left out with VLMGYM_NO_BROWSER=1; without it, a missing browser is a failure."""

    __test__ = os.environ.get("VLMGYM_NO_BROWSER") != "1"

    @pytest.mark.parametrize(
        ("look", "width"),
        [("clean", 1100), ("tiny", 1100), ("clean:tile=200", 400), ("paper", 700)],
    )
    def test_clicks_on_two_tiles_join_them(self, browser, tmp_path, look, width):
        with self.opened(browser, tmp_path, "ShisenSho", "normal", look, width=width) as server:
            r1, c1, r2, c2 = read_pair(good_answer(server.session))
            browser.click(*self.place(browser, server, (r1, c1)))
            browser.wait("document.querySelectorAll('#cells [aria-pressed=true]').length === 1")
            assert "is marked" in self.shown(browser, "message")
            assert server.session.view()["turn"] == 0
            browser.click(*self.place(browser, server, (r2, c2)))
            browser.wait("document.getElementById('score').textContent === '1'")
            assert self.shown(browser, "turn") == "1 / 60"
            assert "+1 (reward +1)" in self.shown(browser, "message")
            browser.wait(f"{READY} && document.getElementById('picture').src.endsWith('n=2')")
            assert not browser.run("document.querySelectorAll('#cells [aria-pressed=true]').length")
            _, (turn,), _ = records(tmp_path)
            assert turn.gain == 1
            assert turn.reply.endswith(f"<answer>({r1}, {c1}) ({r2}, {c2})</answer>")
            scale = (
                browser.run("document.getElementById('picture').getBoundingClientRect().width")
                / server.session.size[1]
            )
            assert (scale % 1 == 0) == browser.run(
                "document.getElementById('picture').classList.contains('crisp')"
            )
            assert look != "tiny" or scale >= 2
            if folder := os.environ.get("VLMGYM_SHOTS"):
                browser.click(*self.place(browser, server, (0, 0)))
                browser.screenshot(f"{folder}/play-shisen-{look.partition(':')[0]}-{width}.png")

    def test_a_second_click_takes_the_mark_off(self, browser, tmp_path):
        with self.opened(browser, tmp_path, "Swap", "easy") as server:
            for _ in range(2):
                browser.click(*self.place(browser, server, (1, 1)))
            browser.wait("document.getElementById('message').textContent.includes('taken off')")
            browser.click(*self.place(browser, server, (0, 0)))
            browser.click(*self.place(browser, server, (2, 2)))
            browser.wait("document.getElementById('message').classList.contains('bad')")
            assert "not neighbours" in self.shown(browser, "message")
            assert server.session.view()["turn"] == 0

    def test_arrow_keys_move(self, browser, tmp_path):
        with self.opened(browser, tmp_path, "2048", "normal") as server:
            keys = ["ArrowUp", "ArrowRight", "ArrowDown", "ArrowLeft"]
            game, state = server.session.game, server.session.state
            score, turns = 0, 0
            while not score:  # until something merges
                action = int(np.nanargmax(game.oracle(state)[0]))
                browser.key("wdsa"[action] if turns % 2 else keys[action])
                turns += 1
                browser.wait(f"document.getElementById('turn').textContent === '{turns} / 100'")
                state, _ = game.step(state, np.array([action]))
                score = int(state.score[0])
            assert self.shown(browser, "score") == str(score)
            assert server.session.state == state
            assert sum(t.gain for t in records(tmp_path)[1]) == score
            assert len(records(tmp_path)[1]) == turns
            if folder := os.environ.get("VLMGYM_SHOTS"):
                browser.click_on("#oracle")
                browser.click_on("#truth")
                browser.wait(
                    "document.getElementById('hint').textContent && "
                    "document.getElementById('board').textContent"
                )
                browser.screenshot(f"{folder}/play-2048.png")

    def test_every_key_is_its_move(self, browser, tmp_path):
        with self.opened(browser, tmp_path, "2048", "hard"):
            for turn, key in enumerate(
                ("ArrowUp", "ArrowRight", "ArrowDown", "ArrowLeft", *"wdsa")
            ):
                browser.key(key)
                browser.wait(f"document.getElementById('turn').textContent === '{turn + 1} / 300'")
            assert [t.action for t in records(tmp_path)[1]] == [0, 1, 2, 3, 0, 1, 2, 3]

    def test_cells_without_a_mouse(self, browser, tmp_path):
        with self.opened(browser, tmp_path, "Minesweeper", "easy") as server:
            browser.key("ArrowRight")  # puts the focus on the first tile
            browser.key("ArrowRight")
            browser.key("ArrowDown")
            assert browser.run("document.activeElement.getAttribute('aria-label')") == (
                "row 1, column 1"
            )
            assert browser.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
            browser.key("Enter")
            browser.wait("document.getElementById('turn').textContent.startsWith('1 ')")
            assert records(tmp_path)[1][0].action == server.session.level.cols + 1
            assert browser.run("document.activeElement.getAttribute('aria-label')") == (
                "row 1, column 1"
            )

    def test_typed_answers_buttons_and_new_games(self, browser, tmp_path):
        with self.opened(
            browser, tmp_path, "Sokoban", "easy", "clean", width=400, height=800
        ) as server:
            browser.run("document.getElementById('answer').focus()")
            browser.type("<img src=x onerror=alert(1)>")
            browser.key("Enter")
            browser.wait("document.getElementById('message').classList.contains('bad')")
            assert server.session.view()["turn"] == 0
            browser.run("document.getElementById('answer').select()")
            browser.key("w")  # typed, not played
            browser.key("Enter")
            browser.wait("document.getElementById('message').textContent.includes('not a move')")
            assert server.session.view()["turn"] == 0
            browser.run("document.getElementById('answer').select()")
            browser.type(good_answer(server.session))
            browser.key("Enter")
            browser.wait("document.getElementById('turn').textContent.startsWith('1 ')")
            assert browser.run("document.getElementById('answer').value") == ""
            browser.click_on("#pad button:nth-child(3)")
            browser.wait("document.getElementById('turn').textContent.startsWith('2 ')")
            assert records(tmp_path)[1][1].action == 2
            browser.click_on("#truth")
            browser.wait("document.getElementById('board').textContent.includes('wall|')")
            browser.click_on("#oracle")
            browser.wait("document.getElementById('hint').textContent.startsWith('Oracle: ')")
            if folder := os.environ.get("VLMGYM_SHOTS"):
                browser.screenshot(f"{folder}/play-sokoban-400.png")
            browser.click_on("#new")
            browser.wait("document.getElementById('turn').textContent.startsWith('0 ')")
            assert "game 1" in self.shown(browser, "settings")
            assert self.shown(browser, "hint") == ""
            assert records(tmp_path)[2][0].end == "stopped"

    def test_the_end_of_a_game_is_told(self, browser, tmp_path):
        with self.opened(browser, tmp_path, "2048", "easy:max_steps=1"):
            browser.key("ArrowUp")
            browser.wait(
                "document.getElementById('message').textContent.includes('turn limit is reached')"
            )
            browser.key("ArrowUp")
            browser.wait("document.getElementById('message').textContent.includes('has ended')")

    def test_buttons_of_games_without_a_grid(self, browser, tmp_path, lamp):
        with self.opened(browser, tmp_path, lamp, "easy"):
            assert browser.run(
                "[...document.querySelectorAll('#pad button')].map(b => b.textContent)"
            ) == [
                "wait & see",
                "brighter",
            ]
            browser.click_on("#pad button:nth-child(2)")
            browser.wait("document.getElementById('score').textContent === '1'")
            assert records(tmp_path)[1][0].action == 1

    def test_an_ended_server_is_told(self, browser, tmp_path):
        with self.opened(browser, tmp_path, "2048", "easy"):
            pass
        browser.key("ArrowUp")
        browser.wait("document.getElementById('message').textContent.includes('does not answer')")
