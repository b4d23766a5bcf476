"""The rows of the benchmark: what each of them times."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import plain
from measuring import BATCH, Benchmark, Goal, Rates, Row, flat, over, rate, within
from vlmgym.core import (
    LEGAL_STREAM,
    ConfigError,
    Game,
    MissingExtra,
    State,
    VlmGymError,
    need,
    seeds_for,
)
from vlmgym.core.threads import spread
from vlmgym.dialogue.perception import truth
from vlmgym.envs.single import GameEnv
from vlmgym.envs.vector import GameVectorEnv
from vlmgym.episodes.random_walk import walk
from vlmgym.games import GAMES, get_game
from vlmgym.render.frames import Frames, pictures, render
from vlmgym.render.pixel_values import Pixels

MANY = 1024
PAPER = {
    "2048": ("paper", 100),
    "ShisenSho": ("paper12", 250),
    "ShisenShoPhotos": ("normal", 250),
    "Swap": ("paper", 0),
}
"""The games of the paper: the level that stands for it, and the moves of its random walk
(photographs: the bundled digits).
"""
LEVELS = {name: level for name, (level, _) in PAPER.items()} | {
    "Minesweeper": "normal:guess_free=false"
}
SIZES, SIDES = tuple(4**k for k in range(9)), (4, 6, 8, 12, 16)
ANSWERS = 64
"""Answers that a step of the bundled GRPO recipe judges, each on its state."""


@cache
def _start(name: str, count: int = BATCH, **fields: Any) -> tuple[Game, State]:
    """Games a few legal moves after the start, without a turn limit, that go on with a fresh deal
    when they end.
    """
    game = get_game(name)
    level = game.level(LEVELS.get(name, "normal"), max_steps=0, restart=True, **fields)
    few = walk(game, level, seeds_for("test", name, "bench", min(count, MANY)), 4, legal=True)
    return game, few.repeat(-(-count // len(few)))[:count].reseed(np.arange(count))


def _objects(game: Game, state: State) -> list[plain.Plain]:
    return [plain.make(game, state, row) for row in range(4)]


def _room(game: Game, state: State, look: str) -> NDArray[np.uint8]:
    return np.full_like(render(game, state, look), 1)


def _copy(shape: Sequence[int], threads: int = 1, dtype: Any = np.uint8) -> Benchmark:
    source, target = np.full(shape, 1, dtype), np.full(shape, 2, dtype)

    def work(part: slice) -> None:
        np.copyto(target[part], source[part])

    return Benchmark(lambda: spread(work, len(source), source.nbytes), shape[0], threads=threads)


def _observe(name: str, threads: int = 1, changed: bool = False) -> dict[str, Benchmark]:
    """Step, picture of 640x840 and text; legal moves, which are chosen before."""
    game, state = _start(name)
    frames, room = Frames(game, state.level, "paper", BATCH), _room(game, state, "paper")
    now: list[Any] = [state, None]  # the games, and the moves chosen for them
    ones: list[Any] = []

    def choose() -> None:
        now[1] = game.draw_legal(now[0])

    def play() -> None:
        now[0], _ = game.step(now[0], now[1])
        if changed:
            frames.draw(now[0])
        else:
            render(game, now[0], "paper", room)
        truth(game, now[0])

    def choose_plain() -> None:
        choose()
        ones[:] = zip(_objects(game, now[0]), now[1].tolist(), strict=False)

    def play_plain() -> None:
        for one, action in ones:
            one.step(action)
            one.frame(640, 840)
            one.text()

    runs = {"ours": Benchmark(play, BATCH, choose, threads), "limit": _copy(room.shape, threads)}
    if threads > 1:
        return {**runs, "one": Benchmark(play, BATCH, choose), "one copy": _copy(room.shape)}
    return {**runs, "plain": Benchmark(play_plain, 4, choose_plain)}


def _pictures(name: str, side: int) -> dict[str, Benchmark]:
    game, state = _start(name)
    look = f"clean:width={side},height={side}"
    room, ones = _room(game, state, look), _objects(game, state)
    whole = Benchmark(lambda: render(game, state, look, room))
    return {
        "ours": whole,
        "plain": Benchmark(lambda: [one.frame(side, side) for one in ones], 4),
        "limit": _copy(room.shape),
    }


def _changed(name: str) -> dict[str, Benchmark]:
    """Pictures of boards of which one tile in twenty is another one than before."""
    game, state = _start(name)
    frames, room = Frames(game, state.level, "paper", BATCH), _room(game, state, "paper")
    cells = state.board.reshape(-1).copy()
    some, kinds = (
        np.random.default_rng(0).choice(cells.size, cells.size // 20, replace=False),
        np.unique(cells[cells > 0]),
    )
    cells[some] = kinds[(np.searchsorted(kinds, cells[some]) + 1) % len(kinds)]
    both = [state, state.with_arrays({"board": cells.reshape(state.board.shape)})]
    for one in (*both, *both):
        if not np.array_equal(frames.draw(one), render(game, one, "paper", room)):
            raise VlmGymError(
                f"{name}: a picture of which only some cells were drawn differs from a whole one"
            )
    whole = Benchmark(lambda: render(game, both[0], "paper", room), BATCH, both.reverse)
    return {"ours": Benchmark(lambda: frames.draw(both[0]), BATCH, both.reverse), "whole": whole}


def _rules(name: str, count: int = MANY, **fields: Any) -> dict[str, Benchmark]:
    """Legal random play, with what appears, ends and begins anew."""
    game, state = _start(name, count, **fields)
    now, ones = [state], _objects(game, state) if count == MANY else []

    def play() -> None:
        now[0], _ = game.step(now[0], game.draw_legal(now[0]))

    def play_plain() -> None:
        for one in ones:
            legal = one.legal()
            if one.step(legal[one.rng.integers(len(legal))])[1]:
                one.reset()

    return {"ours": Benchmark(play, count), "plain": Benchmark(play_plain, 4)}


def _round(name: str) -> dict[str, Benchmark]:
    """What the paper collects for one training step: random walks, pictures and texts, five answers
    to each state scored.
    """
    game, (level_name, steps), rng = get_game(name), PAPER[name], np.random.default_rng(0)
    level, room, seeds = (
        game.level(level_name),
        _room(*_start(name), "paper"),
        [seeds_for("train", name, "bench", BATCH)],
    )
    actions = game.n_actions(level)
    answers = rng.integers(0, actions, (BATCH, 5))

    def shuffle() -> None:
        seeds[0] = seeds_for("train", name, "bench", BATCH, int(rng.integers(1 << 30)))

    def collect() -> None:
        states = walk(game, level, seeds[0], steps)
        render(game, states, "paper", room)
        truth(game, states)
        game.branch(states, answers)

    def collect_plain() -> None:
        one = plain.make(game, game.reset(level, seeds[0][:1]))
        one.reset()
        for _ in range(steps):
            if one.step(int(one.rng.integers(actions)))[1]:
                one.reset()
        one.frame(640, 840)
        one.text()
        one.rewards(answers[0].tolist())

    return {
        "ours": Benchmark(collect, 1, shuffle),
        "plain": Benchmark(collect_plain, 1 / BATCH, shuffle),
    }


def _branch(name: str) -> dict[str, Benchmark]:
    game, state = _start(name)
    answers = np.stack([game.draw_legal(state, LEGAL_STREAM + 2 * k) for k in range(5)], axis=1)
    pairs = list(zip(_objects(game, state), answers.tolist(), strict=False))
    tried = Benchmark(lambda: [one.rewards(actions) for one, actions in pairs], 5 * len(pairs))
    return {"ours": Benchmark(lambda: game.branch(state, answers), 5 * BATCH), "plain": tried}


def _legal(name: str) -> dict[str, Benchmark]:
    game, state = _start(name)
    ones = _objects(game, state)
    return {
        "ours": Benchmark(lambda: game.legal(state)),
        "plain": Benchmark(lambda: [one.legal() for one in ones], 4),
    }


def _oracle(name: str) -> dict[str, Benchmark]:
    game, state = _start(name)
    return {"ours": Benchmark(lambda: game.oracle(state))}


def _pixels(boards: bool, name: str = "Swap", count: int = 32) -> dict[str, Benchmark]:
    """Pictures of 448x448 as Qwen2.5-VL takes them, by way of frames or from the boards; plain: the
    library's, from pictures.
    """
    need("train", "transformers", "torch")
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    processor = Qwen2VLImageProcessorPil(
        size={"shortest_edge": 56 * 56, "longest_edge": 1280 * 28 * 28}
    )
    game, state = _start(name, count)
    look, pixels = "clean:width=448,height=448", Pixels(processor)
    if not pixels.exact(448, 448):
        raise VlmGymError(
            "this processor does more to a picture of 448x448 than rescale, normalise and order it"
        )
    frames, images = render(game, state, look), pictures(game, state[:8], look)
    values = pixels.frames(frames)["pixel_values"]
    ours = (
        (lambda: pixels.boards(game, state, look, values))
        if boards
        else (lambda: pixels.frames(frames, values))
    )
    theirs = Benchmark(lambda: processor(images, return_tensors="np"), 8)
    return {
        "ours": Benchmark(ours, count),
        "plain": theirs,
        "limit": _copy((count, values.size // count), dtype=np.float32),
    }


def _env(name: str) -> dict[str, Benchmark]:
    """One Gymnasium environment and a batch of them, with new arrays; both with a kept buffer."""
    game, level = get_game(name), _start(name)[1].level
    runs = {}
    for label, copy in (("", True), (" kept", False)):
        for key, env in (
            ("ours", GameEnv(name, level, copy=copy)),
            ("batched", GameVectorEnv(name, BATCH, level, copy=copy)),
        ):
            runs[key + label] = _steps(game, env)
    return runs


def _steps(game: Game, env: Any) -> Benchmark:
    now: list[Any] = [None]
    env.reset(seed=0)

    def choose() -> None:
        actions = game.draw_legal(env.state)
        now[0] = actions if isinstance(env, GameVectorEnv) else int(actions[0])

    return Benchmark(lambda: env.step(now[0]), len(env.state), choose)


def _growth(
    name: str, sizes: Sequence[int], look: str = "", sides: bool = False
) -> dict[str, Benchmark]:
    """Batches, or boards, of growing size; with a look, the drawing of pictures alone."""
    runs: dict[str, Benchmark] = {}
    for n in sizes:
        count, fields = (BATCH, {"rows": n, "cols": n}) if sides else (n, {})
        if look:
            game, state = _start(name, count, **fields)
            room = _room(game, state, look)
            runs[str(n)], runs[f"copy {n}"] = (
                Benchmark(partial(render, game, state, look, room), count),
                _copy(room.shape),
            )
        else:
            fields |= {"colours": 16} if sides and name == "ShisenSho" else {}
            runs[str(n)] = _rules(name, count, **fields)["ours"]
    return {"ours": runs[str(sizes[-1])], **runs}


def _simulate(name: str) -> dict[str, Benchmark]:
    """Moves of continuations: 8 legal answers to each of 64 states, 32 continuations of 20 random
    moves each; equal answers are played once.
    """
    game, state = _start(name, ANSWERS)
    actions = np.stack([game.draw_legal(state, LEGAL_STREAM + k) for k in range(8)], axis=1)
    moves = game.simulate(state, actions, exact=False).moves
    return {"ours": Benchmark(lambda: game.simulate(state, actions, exact=False), moves)}


def _start_up() -> dict[str, Benchmark]:
    """New processes: all kernels compiled for the first time, all loaded from where they were kept,
    the import alone.
    """
    folder, compiled = (
        tempfile.mkdtemp(prefix="vlmgym-bench-"),
        ("from vlmgym.apps.compile import compile_all; compile_all()"),
    )
    environment = os.environ | {
        "NUMBA_CACHE_DIR": folder,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }

    def python(code: str) -> None:
        subprocess.run(
            [sys.executable, "-c", code], env=environment, check=True, capture_output=True
        )

    first = Benchmark(lambda: python(compiled), 1, lambda: shutil.rmtree(folder))
    return {
        "ours": first,
        "cached": Benchmark(lambda: python(compiled), 1),
        "import": Benchmark(lambda: python("import vlmgym"), 1),
    }


@cache
def _grpo_step() -> float:
    """Seconds of one step of the bundled GRPO recipe with the embedded model."""
    from vlmgym.models.loading import TRAINING, load
    from vlmgym.train.plan.profile import profile_grpo
    from vlmgym.train.recipe import read_recipe, recipe_path

    need("train", *TRAINING)
    recipe = read_recipe(recipe_path("tiny/g0"), ["grpo.steps=3", f"grpo.batch={ANSWERS}"])
    assert recipe.grpo
    with (
        tempfile.TemporaryDirectory() as folder,
        open(os.devnull, "w") as sink,
        redirect_stdout(sink),
        redirect_stderr(sink),
    ):
        return profile_grpo(recipe, *load("tiny"), Path(folder))["step"]


def _share(rates: Rates) -> str:
    try:
        return (
            f"{ANSWERS / rates['ours'] / _grpo_step():.1e} of a GRPO step of {_grpo_step():.1f} s"
        )
    except MissingExtra:
        return ""


_RULES = {"2048": rate(5e6), "ShisenSho": rate(150e3), "Swap": rate(300e3)}
_SIMULATE = {"2048": rate(2e6), "Swap": rate(300e3)}
_ENV = Goal("3 x batched + 50 us", lambda rates: _bound(rates), most=1)
_GROWING = ("2048", "ShisenSho", "Swap")


def _bound(rates: Rates, label: str = "") -> float:
    return 1 / rates["ours" + label] / (3 / rates["batched" + label] + 50e-6)


def _times(rates: Rates) -> str:
    return f"a copy: {rates['limit'] / rates['one copy']:.2f} x"


def _kept(rates: Rates) -> str:
    return f"with kept buffers: {rates['ours kept']:,.0f}/s, {_bound(rates, ' kept'):.2f}"


def _others(rates: Rates) -> str:
    return ", ".join(
        f"{label} {1 / value:.1f} s" for label, value in rates.items() if label != "ours"
    )


ROWS = (
    *(
        Row(f"observe {g}", "games", partial(_observe, g), over("limit", 0.7, "70 % of a copy"))
        for g in PAPER
    ),
    *(
        Row(
            f"observe {g}, 2 threads",
            "games",
            partial(_observe, g, 2),
            over("one", 1.8, "1.8 x one"),
            _times,
        )
        for g in PAPER
    ),
    *(Row(f"observe {g}, changed cells", "games", partial(_observe, g, 1, True)) for g in PAPER),
    *(
        Row(
            f"pictures {g} {side}",
            "pictures",
            partial(_pictures, g, side),
            over("limit", 0.6, "60 % of a copy"),
        )
        for side in (336, 448)
        for g in PAPER
    ),
    *(
        Row(f"changed {g}", "pictures", partial(_changed, g), over("whole", 5, "5 x a full redraw"))
        for g in PAPER
    ),
    *(
        Row(
            f"rules {g}",
            "steps",
            partial(_rules, g),
            _RULES.get(g, over("plain", 200, "200 x plain")),
        )
        for g in plain.KINDS
    ),
    *(Row(f"round {g}", "s", partial(_round, g), within(0.5)) for g in PAPER),
    *(
        Row(f"branch {g}", "answers", partial(_branch, g), over("plain", 1000, "1,000 x plain"))
        for g in plain.KINDS
    ),
    Row(
        "pixel_values frames",
        "pictures",
        partial(_pixels, False),
        over("plain", 5, "5 x the PIL processor"),
    ),
    Row(
        "pixel_values boards",
        "pictures",
        partial(_pixels, True),
        over("plain", 10, "10 x the PIL processor"),
    ),
    *(Row(f"legal {g}", "states", partial(_legal, g), note=_share) for g in plain.KINDS),
    *(Row(f"oracle {g}", "states", partial(_oracle, g), note=_share) for g in plain.KINDS),
    *(Row(f"simulate {g}", "moves", partial(_simulate, g), _SIMULATE.get(g)) for g in GAMES),
    *(Row(f"env.step {g}", "steps", partial(_env, g), _ENV, _kept) for g in PAPER),
    *(Row(f"growth rules {g}", "steps", partial(_growth, g, SIZES), flat()) for g in _GROWING),
    Row(
        "growth pictures 2048",
        "pictures",
        partial(_growth, "2048", SIZES[:7], "tiny"),
        flat("copy"),
    ),
    *(Row(f"growth boards {g}", "steps", partial(_growth, g, SIDES, "", True)) for g in _GROWING),
    Row("growth boards 2048, drawn", "pictures", partial(_growth, "2048", SIDES, "paper", True)),
    Row("start-up", "s", _start_up, within(20), _others, once=True),
)


def choose(only: Sequence[str] = ()) -> list[Row]:
    """The rows whose names begin with one of these words; all by default.

    Raises:
        ConfigError: no row's name begins so.
    """
    for word in only:
        if not any(row.name.startswith(word) for row in ROWS):
            raise ConfigError(
                "bench row", word, "the beginning of: " + ", ".join(row.name for row in ROWS)
            )
    return [row for row in ROWS if not only or row.name.startswith(tuple(only))]
