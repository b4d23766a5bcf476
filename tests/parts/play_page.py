"""The page on which a person plays, served to a test."""

import http.client
import json
import threading
from contextlib import contextmanager

import gymnasium
import numpy as np

from vlmgym.apps.play import Server, Session
from vlmgym.episodes.records import Episode, EvaluationRun, Turn
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import read_trace


@contextmanager
def served(folder, game="2048", level="easy", look="clean", seed=0):
    session = Session(Task(game, level, look), seed, folder)
    server = Server(session)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        session.close()


def ask(server, path, values=None, token=True, **headers):
    """Status and content: JSON as a dict, everything else as bytes."""
    port = server.server_address[1]
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    headers = {
        "Host": f"127.0.0.1:{port}",
        **({"X-Token": server.token} if token is True else {}),
        **headers,
    }
    body = None if values is None else values if isinstance(values, bytes) else json.dumps(values)
    line.request("GET" if values is None else "POST", path, body, headers)
    reply = line.getresponse()
    data = reply.read()
    line.close()
    return reply.status, json.loads(data) if "json" in reply.getheader("Content-Type") else data


def records(folder):
    found = list(read_trace(folder / "trace.jsonl"))
    return [[r for r in found if isinstance(r, kind)] for kind in (EvaluationRun, Turn, Episode)]


def good_answer(session):
    """The text of an action that succeeds now."""
    action = int(np.argmax(session.game.success_mask(session.state)[0]))
    return session.game.encode(session.level, action)


def idle_answer(session):
    """The text of an action that changes nothing now."""
    return session.game.encode(session.level, int(np.argmin(session.game.legal(session.state)[0])))


def screen_game():
    from vlmgym.games.external import from_gymnasium

    class Lamp(gymnasium.Env):
        observation_space, action_space, metadata = (
            gymnasium.spaces.Discrete(9),
            gymnasium.spaces.Discrete(2),
            {"render_modes": ["rgb_array"]},
        )

        def __init__(self, render_mode=None):
            self.render_mode, self.level = render_mode, 0

        def reset(self, seed=None, options=None):
            super().reset(seed=seed)
            self.level = 0
            return 0, {}

        def step(self, action):
            self.level = min(8, self.level + int(action))
            return self.level, float(action), self.level == 8, False, {}

        def render(self):
            return np.full((40, 60, 3), 30 * self.level, np.uint8)

    if "VlmgymTestLamp-v0" not in gymnasium.registry:
        gymnasium.register("VlmgymTestLamp-v0", Lamp, disable_env_checker=True)
    return from_gymnasium("VlmgymTestLamp-v0", {"wait & see": 0, "brighter": 1}, "This is Lamp.")


READY = (
    "document.getElementById('picture').complete && "
    "document.getElementById('picture').naturalWidth > 0"
)
"""What the page shows is there."""


class PlayBrowser:
    """What tests of the page in a browser share."""

    @contextmanager
    def opened(self, browser, folder, *settings, width=1100, height=900):
        browser.errors.clear()
        browser.resize(width, height)
        with served(folder, *settings) as server:
            browser.open(server.url)
            browser.wait(f"location.href === {server.url!r} && view !== null && {READY}")
            yield server
            browser.run("new Promise(requestAnimationFrame)")
            assert browser.errors == []
            assert browser.run(
                "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
            )

    def place(self, browser, server, cell):
        """The middle of a tile on the page, by the tile boxes and the picture's own rectangle."""
        browser.run("document.getElementById('stage').scrollIntoView({block: 'nearest'})")
        x, y, width, height = browser.run(
            "(r => [r.x, r.y, r.width, "
            "r.height])(document.getElementById('picture').getBoundingClientRect())"
        )
        view = server.session.view()
        x0, y0, x1, y1 = view["boxes"][cell[0]][cell[1]]
        return x + (x0 + x1) / 2 * width / view["size"][1], y + (y0 + y1) / 2 * height / view[
            "size"
        ][0]

    def shown(self, browser, name):
        return browser.run(f"document.getElementById({name!r}).textContent")
