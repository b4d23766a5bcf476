"""How fast the library is, as ratios measured side by side: against plain Python objects, and against what the machine can do.

Each row times several things in turn, over and over, so that whatever else the machine does hits all of them alike: ``ours``;
``plain``, the same work by :mod:`vlmgym.plain` (for ``pixel_values``, by the PIL processor of Transformers); ``limit``, a copy of
as many bytes as the row writes; and what else its goal asks for. A ratio is the median of the ratios of each repetition.
"""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from vlmgym import plain
from vlmgym.core import LEGAL_STREAM, ConfigError, Game, MissingExtra, State, VlmGymError, need, seeds_for
from vlmgym.env import GameEnv, GameVectorEnv
from vlmgym.files import write_atomically, write_json
from vlmgym.games import GAMES, get_game
from vlmgym.kernels import set_threads, spread
from vlmgym.pixels import Pixels
from vlmgym.prompt import truth
from vlmgym.render import Frames, pictures, render
from vlmgym.rollout import walk
from vlmgym.trace import machine

BATCH, MANY = 128, 1024
PAPER = {"2048": ("paper", 100), "ShisenSho": ("paper12", 250), "ShisenShoPhotos": ("normal", 250), "Swap": ("paper", 0)}
"""The games of the paper: the level that stands for it, and the moves of its random walk (photographs: the bundled digits)."""
LEVELS = {name: level for name, (level, _) in PAPER.items()} | {"Minesweeper": "normal:guess_free=false"}
SIZES, SIDES = tuple(4**k for k in range(9)), (4, 6, 8, 12, 16)
ANSWERS = 64
"""Answers that a step of the bundled GRPO recipe judges, each on its state."""

Rates = Mapping[str, float]
"""Units a second of all that a row times."""


# ------------------------------------------------------------------------------------------------- what a row consists of
@dataclass(frozen=True)
class Run:
    """Something to time: a call that does some units of work, what comes before each call untimed, and the kernels' threads."""

    call: Callable[[], object]
    units: float = BATCH
    before: Callable[[], object] | None = None
    threads: int = 1


@dataclass(frozen=True)
class Goal:
    """What a row should reach: a value made from the rates of one repetition, at least or at most so much."""

    text: str
    value: Callable[[Rates], float]
    least: float = -math.inf
    most: float = math.inf


@dataclass(frozen=True)
class Row:
    """One line of the table: ``build`` gives what is timed, ``ours`` among it; ``once``: one time only, as it takes long."""

    name: str
    unit: str
    build: Callable[[], dict[str, Run]]
    goal: Goal | None = None
    note: Callable[[Rates], str] = lambda rates: ""
    once: bool = False


@dataclass
class Result:
    """The rates of a row, units a second, by repetition; or in the note why there are none."""

    name: str
    unit: str
    rates: dict[str, list[float]] = field(default_factory=dict)
    goal: str = ""
    value: float | None = None
    met: bool | None = None
    note: str = ""

    def medians(self) -> dict[str, float]:
        """The median of each rate."""
        return {label: median(values) for label, values in self.rates.items()}

    def ratio(self, other: str) -> float | None:
        """Our rate over another one."""
        pairs = zip(self.rates["ours"], self.rates[other], strict=True) if other in self.rates else ()
        return median(found) if (found := [ours / theirs for ours, theirs in pairs]) else None


def _over(other: str, least: float, text: str) -> Goal:
    return Goal(text, lambda r: r["ours"] / r[other], least)


def _rate(least: float) -> Goal:
    return Goal(f"{least:,.0f}/s", lambda r: r["ours"], least)


def _within(seconds: float) -> Goal:
    return Goal(f"under {seconds:g} s", lambda r: 1 / r["ours"], most=seconds)


def _flat(other: str = "") -> Goal:
    """A row of a batch costs no more than at 64, however many there are; or no more copies of its bytes."""

    def value(rates: Rates) -> float:
        cost = {n: rates.get(f"{other} {n}", 1.0) / rates[n] for n in rates if n.isdigit() and int(n) >= 64}
        return max(cost.values()) / cost["64"]

    return Goal("at most 1.25 x the cost at 64" + (" in copies" if other else ""), value, most=1.25)


# ---------------------------------------------------------------------------------------------------------- what is timed
@cache
def _start(name: str, count: int = BATCH, **fields: Any) -> tuple[Game, State]:
    """Games a few legal moves after the start, without a turn limit, that go on with a fresh deal when they end."""
    game = get_game(name)
    level = game.level(LEVELS.get(name, "normal"), max_steps=0, restart=True, **fields)
    few = walk(game, level, seeds_for("test", name, "bench", min(count, MANY)), 4, legal=True)
    return game, few.repeat(-(-count // len(few)))[:count].with_new_luck(np.arange(count))


def _objects(game: Game, state: State) -> list[plain.Plain]:
    return [plain.make(game, state, row) for row in range(4)]


def _room(game: Game, state: State, look: str) -> NDArray[np.uint8]:
    return np.full_like(render(game, state, look), 1)


def _copy(shape: Sequence[int], threads: int = 1, dtype: Any = np.uint8) -> Run:
    source, target = np.full(shape, 1, dtype), np.full(shape, 2, dtype)

    def work(part: slice) -> None:
        np.copyto(target[part], source[part])

    return Run(lambda: spread(work, len(source), source.nbytes), shape[0], threads=threads)


def _observe(name: str, threads: int = 1, changed: bool = False) -> dict[str, Run]:
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

    runs = {"ours": Run(play, BATCH, choose, threads), "limit": _copy(room.shape, threads)}
    if threads > 1:
        return {**runs, "one": Run(play, BATCH, choose), "one copy": _copy(room.shape)}
    return {**runs, "plain": Run(play_plain, 4, choose_plain)}


def _pictures(name: str, side: int) -> dict[str, Run]:
    game, state = _start(name)
    look = f"clean:width={side},height={side}"
    room, ones = _room(game, state, look), _objects(game, state)
    whole = Run(lambda: render(game, state, look, room))
    return {"ours": whole, "plain": Run(lambda: [one.frame(side, side) for one in ones], 4), "limit": _copy(room.shape)}


def _changed(name: str) -> dict[str, Run]:
    """Pictures of boards of which one tile in twenty is another one than before."""
    game, state = _start(name)
    frames, room = Frames(game, state.level, "paper", BATCH), _room(game, state, "paper")
    cells = state.board.reshape(-1).copy()
    some, kinds = np.random.default_rng(0).choice(cells.size, cells.size // 20, replace=False), np.unique(cells[cells > 0])
    cells[some] = kinds[(np.searchsorted(kinds, cells[some]) + 1) % len(kinds)]
    both = [state, state.with_arrays({"board": cells.reshape(state.board.shape)})]
    for one in (*both, *both):
        if not np.array_equal(frames.draw(one), render(game, one, "paper", room)):
            raise VlmGymError(f"{name}: a picture of which only some cells were drawn differs from a whole one")
    whole = Run(lambda: render(game, both[0], "paper", room), BATCH, both.reverse)
    return {"ours": Run(lambda: frames.draw(both[0]), BATCH, both.reverse), "whole": whole}


def _rules(name: str, count: int = MANY, **fields: Any) -> dict[str, Run]:
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

    return {"ours": Run(play, count), "plain": Run(play_plain, 4)}


def _round(name: str) -> dict[str, Run]:
    """What the paper collects for one training step: random walks, pictures and texts, five answers to each state scored."""
    game, (level_name, steps), rng = get_game(name), PAPER[name], np.random.default_rng(0)
    level, room, seeds = game.level(level_name), _room(*_start(name), "paper"), [seeds_for("train", name, "bench", BATCH)]
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

    return {"ours": Run(collect, 1, shuffle), "plain": Run(collect_plain, 1 / BATCH, shuffle)}


def _branch(name: str) -> dict[str, Run]:
    game, state = _start(name)
    answers = np.stack([game.draw_legal(state, LEGAL_STREAM + 2 * k) for k in range(5)], axis=1)
    pairs = list(zip(_objects(game, state), answers.tolist(), strict=False))
    tried = Run(lambda: [one.rewards(actions) for one, actions in pairs], 5 * len(pairs))
    return {"ours": Run(lambda: game.branch(state, answers), 5 * BATCH), "plain": tried}


def _legal(name: str) -> dict[str, Run]:
    game, state = _start(name)
    ones = _objects(game, state)
    return {"ours": Run(lambda: game.legal(state)), "plain": Run(lambda: [one.legal() for one in ones], 4)}


def _oracle(name: str) -> dict[str, Run]:
    game, state = _start(name)
    return {"ours": Run(lambda: game.oracle(state))}


def _pixels(boards: bool, name: str = "Swap", count: int = 32) -> dict[str, Run]:
    """Pictures of 448x448 as Qwen2.5-VL takes them, by way of frames or from the boards; plain: the library's, from pictures."""
    need("train", "transformers", "torch")
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    processor = Qwen2VLImageProcessorPil(size={"shortest_edge": 56 * 56, "longest_edge": 1280 * 28 * 28})
    game, state = _start(name, count)
    look, pixels = "clean:width=448,height=448", Pixels(processor)
    if not pixels.exact(448, 448):
        raise VlmGymError("this processor does more to a picture of 448x448 than rescale, normalise and order it")
    frames, images = render(game, state, look), pictures(game, state[:8], look)
    values = pixels.frames(frames)["pixel_values"]
    ours = (lambda: pixels.boards(game, state, look, values)) if boards else (lambda: pixels.frames(frames, values))
    theirs = Run(lambda: processor(images, return_tensors="np"), 8)
    return {"ours": Run(ours, count), "plain": theirs, "limit": _copy((count, values.size // count), dtype=np.float32)}


def _env(name: str) -> dict[str, Run]:
    """One Gymnasium environment and a batch of them, with new arrays; both with a kept buffer."""
    game, level = get_game(name), _start(name)[1].level
    runs = {}
    for label, copy in (("", True), (" kept", False)):
        for key, env in (("ours", GameEnv(name, level, copy=copy)), ("batched", GameVectorEnv(name, BATCH, level, copy=copy))):
            runs[key + label] = _steps(game, env)
    return runs


def _steps(game: Game, env: Any) -> Run:
    now: list[Any] = [None]
    env.reset(seed=0)

    def choose() -> None:
        actions = game.draw_legal(env.state)
        now[0] = actions if isinstance(env, GameVectorEnv) else int(actions[0])

    return Run(lambda: env.step(now[0]), len(env.state), choose)


def _growth(name: str, sizes: Sequence[int], look: str = "", sides: bool = False) -> dict[str, Run]:
    """Batches, or boards, of growing size; with a look, the drawing of pictures alone."""
    runs: dict[str, Run] = {}
    for n in sizes:
        count, fields = (BATCH, {"rows": n, "cols": n}) if sides else (n, {})
        if look:
            game, state = _start(name, count, **fields)
            room = _room(game, state, look)
            runs[str(n)], runs[f"copy {n}"] = Run(partial(render, game, state, look, room), count), _copy(room.shape)
        else:
            fields |= {"colours": 16} if sides and name == "ShisenSho" else {}
            runs[str(n)] = _rules(name, count, **fields)["ours"]
    return {"ours": runs[str(sizes[-1])], **runs}


def _start_up() -> dict[str, Run]:
    """New processes: all kernels compiled for the first time, all loaded from where they were kept, the import alone."""
    folder, compiled = tempfile.mkdtemp(prefix="vlmgym-bench-"), "from vlmgym.env import compile_all; compile_all()"
    environment = os.environ | {"NUMBA_CACHE_DIR": folder, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

    def python(code: str) -> None:
        subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True)

    first = Run(lambda: python(compiled), 1, lambda: shutil.rmtree(folder))
    return {"ours": first, "cached": Run(lambda: python(compiled), 1), "import": Run(lambda: python("import vlmgym"), 1)}


@cache
def _grpo_step() -> float:
    """Seconds of one step of the bundled GRPO recipe with the embedded model."""
    from vlmgym.train.model import TRAINING, load
    from vlmgym.train.profile import profile_grpo
    from vlmgym.train.recipe import read_recipe, recipe_path

    need("train", *TRAINING)
    recipe = read_recipe(recipe_path("tiny/g0"), ["grpo.steps=3", f"grpo.batch={ANSWERS}"])
    assert recipe.grpo
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as sink, redirect_stdout(sink), redirect_stderr(sink):
        model = load("tiny")
        return profile_grpo(*model, recipe.tasks, Path(folder), recipe.grpo, recipe.reward, recipe.compute)["step"]


def _share(rates: Rates) -> str:
    try:
        return f"{ANSWERS / rates['ours'] / _grpo_step():.1e} of a GRPO step of {_grpo_step():.1f} s"
    except MissingExtra:
        return ""


# ------------------------------------------------------------------------------------------------------------------- rows
_RULES = {"2048": _rate(5e6), "ShisenSho": _rate(150e3), "Swap": _rate(300e3)}
_ENV = Goal("3 x batched + 50 us", lambda rates: _bound(rates), most=1)
_GROWING = ("2048", "ShisenSho", "Swap")


def _bound(rates: Rates, label: str = "") -> float:
    return 1 / rates["ours" + label] / (3 / rates["batched" + label] + 50e-6)


def _times(rates: Rates) -> str:
    return f"a copy: {rates['limit'] / rates['one copy']:.2f} x"


def _kept(rates: Rates) -> str:
    return f"with kept buffers: {rates['ours kept']:,.0f}/s, {_bound(rates, ' kept'):.2f}"


def _others(rates: Rates) -> str:
    return ", ".join(f"{label} {1 / value:.1f} s" for label, value in rates.items() if label != "ours")


ROWS = (
    *(Row(f"observe {g}", "games", partial(_observe, g), _over("limit", 0.7, "70 % of a copy")) for g in PAPER),
    *(Row(f"observe {g}, 2 threads", "games", partial(_observe, g, 2), _over("one", 1.8, "1.8 x one"), _times) for g in PAPER),
    *(Row(f"observe {g}, changed cells", "games", partial(_observe, g, 1, True)) for g in PAPER),
    *(
        Row(f"pictures {g} {side}", "pictures", partial(_pictures, g, side), _over("limit", 0.6, "60 % of a copy"))
        for side in (336, 448)
        for g in PAPER
    ),
    *(Row(f"changed {g}", "pictures", partial(_changed, g), _over("whole", 5, "5 x a full redraw")) for g in PAPER),
    *(Row(f"rules {g}", "steps", partial(_rules, g), _RULES.get(g, _over("plain", 200, "200 x plain"))) for g in GAMES),
    *(Row(f"round {g}", "s", partial(_round, g), _within(0.5)) for g in PAPER),
    *(Row(f"branch {g}", "answers", partial(_branch, g), _over("plain", 1000, "1,000 x plain")) for g in GAMES),
    Row("pixel_values frames", "pictures", partial(_pixels, False), _over("plain", 5, "5 x the PIL processor")),
    Row("pixel_values boards", "pictures", partial(_pixels, True), _over("plain", 10, "10 x the PIL processor")),
    *(Row(f"legal {g}", "states", partial(_legal, g), note=_share) for g in GAMES),
    *(Row(f"oracle {g}", "states", partial(_oracle, g), note=_share) for g in GAMES),
    *(Row(f"env.step {g}", "steps", partial(_env, g), _ENV, _kept) for g in PAPER),
    *(Row(f"growth rules {g}", "steps", partial(_growth, g, SIZES), _flat()) for g in _GROWING),
    Row("growth pictures 2048", "pictures", partial(_growth, "2048", SIZES[:7], "tiny"), _flat("copy")),
    *(Row(f"growth boards {g}", "steps", partial(_growth, g, SIDES, "", True)) for g in _GROWING),
    Row("growth boards 2048, drawn", "pictures", partial(_growth, "2048", SIDES, "paper", True)),
    Row("start-up", "s", _start_up, _within(20), _others, once=True),
)


def choose(only: Sequence[str] = ()) -> list[Row]:
    """The rows whose names begin with one of these words; all by default.

    Raises:
        ConfigError: no row's name begins so.
    """
    for word in only:
        if not any(row.name.startswith(word) for row in ROWS):
            raise ConfigError("bench row", word, "the beginning of: " + ", ".join(row.name for row in ROWS))
    return [row for row in ROWS if not only or row.name.startswith(tuple(only))]


# -------------------------------------------------------------------------------------------------------------- measuring
def _measured(one: Run, least: float) -> float:
    """Units a second, over calls that take ``least`` seconds together (or 10 times that with what is not timed)."""
    set_threads(one.threads)
    spent, done, stop = 0.0, 0.0, time.perf_counter() + 10 * least
    while not done or (spent < least and time.perf_counter() < stop):
        if one.before:
            one.before()
        begin = time.perf_counter()
        one.call()
        spent += time.perf_counter() - begin
        done += one.units
    return done / spent


def measure(row: Row, repetitions: int = 5, least: float = 0.1) -> Result:
    """Time all that a row consists of in turn, ``repetitions`` times, each for at least ``least`` seconds."""
    result, rounds = Result(row.name, row.unit, goal=row.goal.text if row.goal else ""), []
    try:
        runs = row.build()
        for number in range(1 if row.once else repetitions + 1):
            part = least if number else 0.0  # the first round, one call each, fills caches
            found = {key: _measured(one, part) for key, one in {id(one): one for one in runs.values()}.items()}
            if number or row.once:
                rounds.append({label: found[id(one)] for label, one in runs.items()})
    except MissingExtra as error:
        result.note = str(error)
        return result
    finally:
        set_threads(0)
    result.rates = {label: [one[label] for one in rounds] for label in runs}
    if row.goal:
        result.value = median(row.goal.value(one) for one in rounds)
        result.met = row.goal.least <= result.value <= row.goal.most
    return result


def run(out: Path, only: Sequence[str] = (), repetitions: int = 5, quick: bool = False) -> list[Result]:
    """Measure rows; write ``bench.json``, ``bench.txt`` (the table) and, if rows about growth are among them, ``bench.png``.

    Args:
        out: folder.
        only: beginnings of names of rows; all by default.
        repetitions: how often each thing is timed, in turn with the others of its row.
        quick: one short repetition, without rows that take long unless named: tries the path, measures nothing.

    Raises:
        ConfigError: there is no such row, or no repetition.
    """
    if repetitions < 1:
        raise ConfigError("repetitions", repetitions, "1 or more")
    rows, results = [row for row in choose(only) if only or not (quick and row.once)], []
    out.mkdir(parents=True, exist_ok=True)
    with tqdm(rows, desc="bench", unit="row", file=sys.stderr) as bar:
        for row in bar:
            bar.set_postfix_str(row.name)
            results.append(measure(row, 1 if quick else repetitions, 0.002 if quick else 0.1))
            if results[-1].rates and not quick:
                results[-1].note = row.note(results[-1].medians())
    about = {**machine("numpy", "numba", "pillow", "gymnasium"), "repetitions": repetitions}
    write_json(out / "bench.json", {"machine": about, "rows": [asdict(one) for one in results]})
    write_atomically(out / "bench.txt", table(results, about))
    plot(results, out / "bench.png")
    return results


# ---------------------------------------------------------------------------------------------------------------- showing
def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def table(results: Sequence[Result], about: Mapping[str, Any]) -> str:
    """The rows as text: medians of rates (for the unit s: of seconds), half the range beside ours, median ratios."""
    lines: list[tuple[str, ...]] = []
    for one in results:
        rates = {label: 1 / rate if one.unit == "s" else rate for label, rate in one.medians().items()}
        ours = one.rates.get("ours", [])
        around = f"±{50 * (max(ours) - min(ours)) / median(ours):.0f} %" if len(ours) > 1 else ""
        numbers = [*(rates.get(label) for label in ("plain", "limit")), one.ratio("plain"), one.ratio("limit")]
        met = {None: "", True: "yes", False: "NO"}[one.met]
        unit = one.unit if one.unit == "s" else f"{one.unit}/s"
        cells = (_number(rates.get("ours")), around, unit, *map(_number, numbers))
        lines.append((one.name, *cells, one.goal, _number(one.value), met, one.note))
    head = ("row", "ours", "", "unit", "plain", "limit", "x plain", "x limit", "goal", "found", "reached", "")
    wide = [max(len(line[k]) for line in (head, *lines)) for k in range(len(head))]
    where = f"{about['cores']} cores, {about['cpu']}, {about['system']}"
    text = [f"{where}, vlmgym {about['vlmgym']}, {about['repetitions']} repetitions", ""]
    for line in (head, *lines):
        both = zip(line, wide, strict=True)
        cells = tuple(cell.rjust(w) if k in (1, 2, 4, 5, 6, 7, 9) else cell.ljust(w) for k, (cell, w) in enumerate(both))
        text.append("  ".join(cells).rstrip())
    goals = [one for one in results if one.met is not None]
    missed = [one.name for one in goals if not one.met]
    text += ["", f"{len(goals) - len(missed)} of {len(goals)} goals reached" + "".join(f"\n  missed: {name}" for name in missed)]
    return "\n".join(text) + "\n"


def plot(results: Sequence[Result], path: Path) -> None:
    """Cost of a game against the size of batch and board; nothing without rows about growth, or without Matplotlib."""
    growth = [one for one in results if one.name.startswith("growth ") and one.rates]
    try:
        need("train", "matplotlib")
    except MissingExtra as error:
        sys.stderr.write(f"no {path.name}: {error}\n")
        growth = []
    if not growth:
        return
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    axes = dict(zip((False, True), figure.subplots(1, 2), strict=True))
    for one in growth:
        name, of_boards = one.name.removeprefix("growth ").removeprefix("boards "), one.name.startswith("growth boards")
        for begin, style in (("", "o-"), ("copy ", "s:")):
            points = {x.removeprefix(begin): y for x, y in one.medians().items() if x.startswith(begin)}
            line = {int(x): 1e6 / y for x, y in points.items() if x.isdigit()}
            if line:
                axes[of_boards].plot(list(line), list(line.values()), style, label=begin + name)
    for of_boards, label in ((False, "games in the batch"), (True, "cells of a side of the board")):
        axes[of_boards].set(xlabel=label, ylabel="microseconds a game", yscale="log", xscale="linear" if of_boards else "log")
        axes[of_boards].grid(alpha=0.3)
        if axes[of_boards].lines:
            axes[of_boards].legend(fontsize=8)
    figure.savefig(path, dpi=120)
