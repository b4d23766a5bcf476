"""How fast the library is, as ratios measured side by side: against plain Python objects, and against what the machine can do.

Each row times several things in turn, over and over, so that whatever else the machine does hits all of them alike: ``ours``;
``plain``, the same work by :mod:`vlmgym.plain` (for ``pixel_values``, by the PIL processor of Transformers); ``limit``, a copy of
as many bytes as the row writes; and what else its goal asks for. A ratio is the median of the ratios of each repetition.
"""

from __future__ import annotations

import json
import math
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

import vlmgym
from vlmgym import plain
from vlmgym.core import LEGAL_STREAM, ConfigError, Game, MissingExtra, State, VlmGymError, need, seeds_for
from vlmgym.env import GameEnv, GameVectorEnv
from vlmgym.games import GAMES, get_game
from vlmgym.kernels import set_threads, spread, usable_cores
from vlmgym.pixels import Pixels
from vlmgym.prompt import truth
from vlmgym.render import Frames, pictures, render
from vlmgym.rollout import walk
from vlmgym.trace import revision

BATCH = 128
PAPER = {"2048": ("paper", 100), "ShisenSho": ("paper12", 250), "ShisenShoPhotos": ("normal", 250), "Swap": ("paper", 0)}
"""The games of the paper: the level that stands for it, and the moves of its random walk (photographs: the bundled digits)."""
LEVELS = {name: level for name, (level, _) in PAPER.items()} | {"Minesweeper": "normal:guess_free=false"}
SIZES = tuple(4**k for k in range(9))  # 1 to 65,536
SIDES = (4, 6, 8, 12, 16)
GRPO_STATES = 64
"""Answers that a step of the bundled recipe judges, each on its state."""


# ------------------------------------------------------------------------------------------------- what a row consists of
@dataclass(frozen=True)
class Run:
    """Something to time.

    Attributes:
        call: does ``units`` of work.
        units: of work.
        before: runs before each call, and is not timed.
        threads: for the library's own loops.
    """

    call: Callable[[], object]
    units: float = BATCH
    before: Callable[[], object] | None = None
    threads: int = 1


@dataclass(frozen=True)
class Goal:
    """What a row should reach: a value made from the rates of one repetition, at least or at most so much."""

    text: str
    value: Callable[[Mapping[str, float]], float]
    least: float = -math.inf
    most: float = math.inf


@dataclass(frozen=True)
class Row:
    """One line of the table; ``build`` gives what is timed, with ``ours`` among it."""

    name: str
    unit: str
    build: Callable[[], dict[str, Run]]
    goal: Goal | None = None
    once: bool = False
    """Timed a single time: it takes long."""


@dataclass
class Result:
    """The rates of a row, units a second, for each repetition; or why there are none."""

    name: str
    unit: str
    rates: dict[str, list[float]] = field(default_factory=dict)
    goal: str = ""
    value: float | None = None
    met: bool | None = None
    note: str = ""

    def ratio(self, other: str) -> float | None:
        """Our rate over another one: the median over repetitions."""
        if other not in self.rates:
            return None
        return median(a / b for a, b in zip(self.rates["ours"], self.rates[other], strict=True))


def over(other: str, least: float, text: str) -> Goal:
    """At least so many times another rate."""
    return Goal(text, lambda r: r["ours"] / r[other], least)


def rate(least: float) -> Goal:
    """At least so many units a second."""
    return Goal(f"{least:,.0f}/s", lambda r: r["ours"], least)


def seconds(most: float) -> Goal:
    """At most so many seconds a unit."""
    return Goal(f"under {most:g} s", lambda r: 1 / r["ours"], most=most)


def flat(other: str = "") -> Goal:
    """Rows of a batch cost no more than at 64, however many there are; with ``other``, by the measure of that rate."""

    def value(rates: Mapping[str, float]) -> float:
        sizes = [int(label) for label in rates if label.isdigit() and int(label) >= 64]
        cost = {n: (rates[f"{other} {n}"] if other else 1.0) / rates[str(n)] for n in sizes}
        return max(cost.values()) / cost[64]

    return Goal("cost at most 1.25 x that at 64" + (f" (of a {other})" if other else ""), value, most=1.25)


# --------------------------------------------------------------------------------------------------------- what is timed
@cache
def _start(name: str, count: int = BATCH, **fields: Any) -> tuple[Game, State]:
    """Games a few legal moves after the start, without a turn limit, that go on with a fresh deal when they end."""
    game = get_game(name)
    level = game.level(LEVELS.get(name, "normal"), max_steps=0, restart=True, **fields)
    few = walk(game, level, seeds_for("test", name, "bench", min(count, 1024)), 4, legal=True)
    state = few.repeat(-(-count // len(few)))[:count]
    return game, state.with_new_luck(np.arange(count))


def _objects(game: Game, state: State, count: int = 4) -> list[plain.Plain]:
    return [plain.make(game, state, row) for row in range(min(count, len(state)))]


def _copy(shape: Sequence[int], dtype: Any = np.uint8, threads: int = 1) -> Run:
    """A plain copy of an array, from one as large."""
    source, target = np.full(shape, 1, dtype), np.full(shape, 2, dtype)

    def work(part: slice) -> None:
        np.copyto(target[part], source[part])

    return Run(lambda: spread(work, len(source), source.nbytes), shape[0], threads=threads)


def _room(game: Game, state: State, look: str) -> NDArray[np.uint8]:
    return np.full_like(render(game, state, look), 1)


def _observe(name: str, threads: int = 1, changed: bool = False) -> dict[str, Run]:
    """Step, picture of 640x840 and text; legal moves, which are chosen before."""
    game, state = _start(name)
    frames, room = Frames(game, state.level, "paper", BATCH), _room(game, state, "paper")
    ones: list[Any] = []
    now: list[Any] = [state, None]  # the games, and the moves chosen for them

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

    runs = {"ours": Run(play, BATCH, choose, threads), "limit": _copy(room.shape, threads=threads)}
    return runs | ({"one": Run(play, BATCH, choose)} if threads > 1 else {"plain": Run(play_plain, 4, choose_plain)})


def _pictures(name: str, side: int) -> dict[str, Run]:
    game, state = _start(name)
    look = f"clean:width={side},height={side}"
    room, ones = _room(game, state, look), _objects(game, state)
    return {
        "ours": Run(lambda: render(game, state, look, room)),
        "plain": Run(lambda: [one.frame(side, side) for one in ones], len(ones)),
        "limit": _copy(room.shape),
    }


def _changed(name: str) -> dict[str, Run]:
    """Pictures of boards of which one tile in twenty is another one than before."""
    game, state = _start(name)
    frames, room = Frames(game, state.level, "paper", BATCH), _room(game, state, "paper")
    flat_board = state.board.reshape(-1).copy()
    rng = np.random.default_rng(0)
    some = rng.choice(flat_board.size, flat_board.size // 20, replace=False)
    kinds = np.unique(flat_board[flat_board > 0])
    flat_board[some] = kinds[(np.searchsorted(kinds, flat_board[some]) + 1) % len(kinds)]
    both = [state, state.with_arrays({"board": flat_board.reshape(state.board.shape)})]
    for one in (*both, *both):
        if not np.array_equal(frames.draw(one), render(game, one, "paper", room)):
            raise VlmGymError(f"{name}: a picture of which only some cells were drawn differs from a whole one")

    def turn() -> None:
        both.reverse()

    full = Run(lambda: render(game, both[0], "paper", room), BATCH, turn)
    return {"ours": Run(lambda: frames.draw(both[0]), BATCH, turn), "full": full}


def _moves(name: str, count: int = 1024, **fields: Any) -> tuple[Callable[[], None], Callable[[], None]]:
    """Legal random play of a whole batch, and of four plain objects."""
    game, state = _start(name, count, **fields)
    now, ones = [state], _objects(game, state)

    def play() -> None:
        now[0], _ = game.step(now[0], game.draw_legal(now[0]))

    def play_plain() -> None:
        for one in ones:
            legal = one.legal()
            if one.step(legal[one.rng.integers(len(legal))])[1]:
                one.reset()

    return play, play_plain


def _rules(name: str) -> dict[str, Run]:
    play, play_plain = _moves(name)
    return {"ours": Run(play, 1024), "plain": Run(play_plain, 4)}


def _round(name: str) -> dict[str, Run]:
    """What the paper collects for one training step: random walks, pictures and texts, five answers to each state scored."""
    game, (level_name, steps) = get_game(name), PAPER[name]
    level, rng = game.level(level_name), np.random.default_rng(0)
    room, count, seeds = _room(*_start(name), "paper"), game.n_actions(level), [seeds_for("train", name, "bench", BATCH)]
    answers = rng.integers(0, count, (BATCH, 5))

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
            if one.step(int(one.rng.integers(count)))[1]:
                one.reset()
        one.frame(640, 840)
        one.text()
        one.rewards(answers[0].tolist())

    return {"ours": Run(collect, 1, shuffle), "plain": Run(collect_plain, 1 / BATCH, shuffle)}


def _branch(name: str) -> dict[str, Run]:
    game, state = _start(name)
    answers = np.stack([game.draw_legal(state, LEGAL_STREAM + 2 * k) for k in range(5)], axis=1)
    pairs = list(zip(_objects(game, state), answers.tolist(), strict=False))
    return {
        "ours": Run(lambda: game.branch(state, answers), 5 * BATCH),
        "plain": Run(lambda: [one.rewards(actions) for one, actions in pairs], 5 * len(pairs)),
    }


def _legal(name: str) -> dict[str, Run]:
    game, state = _start(name)
    ones = _objects(game, state)
    return {"ours": Run(lambda: game.legal(state)), "plain": Run(lambda: [one.legal() for one in ones], len(ones))}


def _oracle(name: str) -> dict[str, Run]:
    game, state = _start(name)
    return {"ours": Run(lambda: game.oracle(state))}


def _env(name: str) -> dict[str, Run]:
    """One Gymnasium environment, and a batch of them with a kept buffer."""
    level = _start(name)[1].level
    one, many = GameEnv(name, level), GameVectorEnv(name, BATCH, level, copy=False)
    one.reset(seed=0)
    many.reset(seed=0)
    actions: list[Any] = [0, 0]

    def choose(k: int, env: GameEnv | GameVectorEnv) -> None:
        actions[k] = get_game(name).draw_legal(env.state)

    return {
        "ours": Run(lambda: one.step(int(actions[0][0])), 1, partial(choose, 0, one)),
        "batched": Run(lambda: many.step(actions[1]), BATCH, partial(choose, 1, many)),
    }


def _pixels(name: str, boards: bool) -> dict[str, Run]:
    """Pictures of 448x448 as Qwen2.5-VL takes them, by way of frames or from the boards."""
    need("train", "transformers", "torch")
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    processor = Qwen2VLImageProcessorPil(size={"shortest_edge": 56 * 56, "longest_edge": 1280 * 28 * 28})
    game, state = _start(name, 32)
    look, pixels = "clean:width=448,height=448", Pixels(processor)
    if not pixels.exact(448, 448):
        raise VlmGymError("this processor does more to a picture of 448x448 than rescale, normalise and order it")
    frames, images = render(game, state, look), pictures(game, state[:8], look)
    values = pixels.frames(frames)["pixel_values"]
    call = (lambda: pixels.boards(game, state, look, values)) if boards else (lambda: pixels.frames(frames, values))
    return {
        "ours": Run(call, 32),
        "plain": Run(lambda: processor(images, return_tensors="np"), len(images)),
        "limit": _copy((32, values.size // 32), np.float32),
    }


def _growth_rules(name: str) -> dict[str, Run]:
    runs = {str(n): Run(_moves(name, n)[0], n) for n in SIZES}
    return {"ours": runs[str(SIZES[-1])], **runs}


def _growth_pictures(name: str) -> dict[str, Run]:
    """Small pictures; up to 4,096 of them."""
    runs: dict[str, Run] = {}
    for n in (size for size in SIZES if size <= 4096):
        game, state = _start(name, n)
        room = _room(game, state, "tiny")
        runs[str(n)] = Run(partial(render, game, state, "tiny", room), n)
        runs[f"copy {n}"] = _copy(room.shape)
    return {"ours": runs["4096"], "limit": runs["copy 4096"], **runs}


def _growth_boards(name: str, drawn: bool) -> dict[str, Run]:
    """Boards of 4x4 to 16x16, alone or with pictures of 640x840."""
    runs: dict[str, Run] = {}
    for side in SIDES:
        fields = {"rows": side, "cols": side, **({"colours": 16, "shapes": 12} if name == "ShisenSho" else {})}
        game, state = _start(name, BATCH, **fields)
        room = _room(game, state, "paper") if drawn else None
        call = partial(render, game, state, "paper", room) if drawn else _moves(name, BATCH, **fields)[0]
        runs[f"{side}x{side}"] = Run(call)
    return {"ours": runs["16x16"], **runs}


def _fresh(folder: str, code: str) -> None:
    environment = os.environ | {"NUMBA_CACHE_DIR": folder, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True)


def _start_up() -> dict[str, Run]:
    """A new process: all kernels compiled for the first time, loaded from the cache, and the import alone."""
    folder = tempfile.mkdtemp(prefix="vlmgym-bench-")
    compile_all = "from vlmgym.env import compile_all; compile_all()"
    return {
        "ours": Run(lambda: _fresh(folder, compile_all), 1, lambda: shutil.rmtree(folder)),
        "cached": Run(lambda: _fresh(folder, compile_all), 1),
        "import": Run(lambda: _fresh(folder, "import vlmgym"), 1),
    }


# ----------------------------------------------------------------------------------------------------------------- rows
RULES = {"2048": rate(5e6), "ShisenSho": rate(150e3), "Swap": rate(300e3)}
ROWS = (
    *(Row(f"observe {g}", "games", partial(_observe, g), over("limit", 0.7, "70 % of a copy")) for g in PAPER),
    *(Row(f"observe {g}, 2 threads", "games", partial(_observe, g, 2), over("one", 1.8, "1.8 x one thread")) for g in PAPER),
    *(Row(f"observe {g}, changed cells", "games", partial(_observe, g, 1, True)) for g in PAPER),
    *(
        Row(f"pictures {g} {side}", "pictures", partial(_pictures, g, side), over("limit", 0.6, "60 % of a copy"))
        for side in (336, 448)
        for g in PAPER
    ),
    *(Row(f"changed {g}", "pictures", partial(_changed, g), over("full", 5, "5 x a full redraw")) for g in PAPER),
    *(Row(f"rules {g}", "steps", partial(_rules, g), RULES.get(g, over("plain", 200, "200 x plain"))) for g in GAMES),
    *(Row(f"round {g}", "s", partial(_round, g), seconds(0.5)) for g in PAPER),
    *(Row(f"branch {g}", "answers", partial(_branch, g), over("plain", 1000, "1,000 x plain")) for g in GAMES),
    Row("pixel_values frames", "pictures", partial(_pixels, "Swap", False), over("plain", 5, "5 x the PIL processor")),
    Row("pixel_values boards", "pictures", partial(_pixels, "Swap", True), over("plain", 10, "10 x the PIL processor")),
    *(Row(f"legal {g}", "states", partial(_legal, g)) for g in GAMES),
    *(Row(f"oracle {g}", "states", partial(_oracle, g)) for g in GAMES),
    *(
        Row(
            f"env.step {g}",
            "steps",
            partial(_env, g),
            Goal("3 x batched + 50 us", lambda r: 1 / r["ours"] / (3 / r["batched"] + 50e-6), most=1),
        )
        for g in PAPER
    ),
    *(Row(f"growth rules {g}", "steps", partial(_growth_rules, g), flat()) for g in ("2048", "ShisenSho", "Swap")),
    Row("growth pictures 2048", "pictures", partial(_growth_pictures, "2048"), flat("copy")),
    *(Row(f"growth boards {g}", "steps", partial(_growth_boards, g, False)) for g in ("2048", "ShisenSho", "Swap")),
    *(Row(f"growth boards {g}, drawn", "pictures", partial(_growth_boards, g, True)) for g in ("2048", "ShisenSho", "Swap")),
    Row("start-up", "s", _start_up, seconds(20), once=True),
)


# ------------------------------------------------------------------------------------------------------------ measuring
def _rate(run: Run, least: float) -> float:
    """Units a second, over calls that last ``least`` seconds together (or 10 times that with what is not timed)."""
    set_threads(run.threads)
    spent, done, stop = 0.0, 0.0, time.perf_counter() + 10 * least
    while not done or (spent < least and time.perf_counter() < stop):
        if run.before:
            run.before()
        begin = time.perf_counter()
        run.call()
        spent += time.perf_counter() - begin
        done += run.units
    return done / spent


def measure(row: Row, repetitions: int = 5, least: float = 0.1) -> Result:
    """Time all that a row consists of in turn, ``repetitions`` times, each for at least ``least`` seconds."""
    result = Result(row.name, row.unit, goal=row.goal.text if row.goal else "")
    try:
        runs = row.build()
    except MissingExtra as error:
        result.note = str(error)
        return result
    result.rates = {label: [] for label in runs}
    try:
        for number in range(1 if row.once else repetitions + 1):
            found = {
                id(run): _rate(run, least if number or row.once else 0.0) for run in {id(r): r for r in runs.values()}.values()
            }
            for label, run in runs.items() if number or row.once else ():  # the first round fills caches
                result.rates[label].append(found[id(run)])
    finally:
        set_threads(0)
    if row.goal:
        rounds = [dict(zip(result.rates, one, strict=True)) for one in zip(*result.rates.values(), strict=True)]
        result.value = median(row.goal.value(one) for one in rounds)
        result.met = row.goal.least <= result.value <= row.goal.most
    if row.once:
        result.note = ", ".join(f"{label} {1 / r[0]:.1f} s" for label, r in result.rates.items() if label != "ours")
    return result


@cache
def _grpo_step() -> float | None:
    """Seconds of one step of the bundled GRPO recipe with the embedded model; None where its packages are missing."""
    from vlmgym.train.model import TRAINING, load
    from vlmgym.train.profile import profile_grpo
    from vlmgym.train.recipe import read_recipe, recipe_path

    try:
        need("train", *TRAINING)
    except MissingExtra:
        return None
    recipe = read_recipe(recipe_path("tiny/g0"), ["grpo.steps=3", f"grpo.batch={GRPO_STATES}"])
    assert recipe.grpo
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as sink, redirect_stdout(sink), redirect_stderr(sink):
        found = profile_grpo(*load("tiny"), recipe.tasks, Path(folder), recipe.grpo, recipe.reward, recipe.compute)
    return found["step"]


def choose(only: Sequence[str] = ()) -> list[Row]:
    """The rows whose names begin with one of these words; all by default.

    Raises:
        ConfigError: no row's name begins so.
    """
    for word in only:
        if not any(row.name.startswith(word) for row in ROWS):
            raise ConfigError("bench row", word, "the beginning of: " + ", ".join(row.name for row in ROWS))
    return [row for row in ROWS if not only or any(row.name.startswith(word) for word in only)]


def machine() -> dict[str, Any]:
    """What was measured on, and with which versions."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        model = next((x.split(":", 1)[1].strip() for x in info.read_text().splitlines() if x.startswith("model name")), model)
    packages = ("numpy", "numba", "pillow", "gymnasium")
    return {
        "cpu": model,
        "cores": usable_cores(),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "versions": {package: version(package) for package in packages},
        "vlmgym": f"{vlmgym.__version__} ({revision()})",
    }


def run(out: Path, only: Sequence[str] = (), repetitions: int = 5, quick: bool = False) -> list[Result]:
    """Measure rows; write ``bench.json``, ``bench.txt`` (the table) and, of rows about growth, ``bench.png``.

    Args:
        out: folder.
        only: beginnings of names of rows; all by default.
        repetitions: how often each thing is timed, in turn with the others of its row.
        quick: one short repetition: tries the path, measures nothing.

    Raises:
        ConfigError: there is no such row.
    """
    rows, results = choose(only), []
    out.mkdir(parents=True, exist_ok=True)
    with tqdm(rows, desc="bench", unit="row", file=sys.stderr, disable=None) as bar:
        for row in bar:
            bar.set_postfix_str(row.name)
            results.append(measure(row, 1 if quick else repetitions, 0.002 if quick else 0.1))
            one, step = results[-1], None
            if row.name.startswith(("legal ", "oracle ")) and not quick and (step := _grpo_step()):
                one.note = f"{GRPO_STATES / median(one.rates['ours']) / step:.2g} of a GRPO step of {step:.1f} s"
    about = {**machine(), "repetitions": repetitions}
    text = json.dumps({"machine": about, "rows": [asdict(one) for one in results]}, indent=1)
    (out / "bench.json").write_text(text + "\n", encoding="utf-8")
    (out / "bench.txt").write_text(table(results, about), encoding="utf-8")
    plot(results, out / "bench.png")
    return results


# ------------------------------------------------------------------------------------------------------------- showing
def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def table(results: Sequence[Result], about: Mapping[str, Any]) -> str:
    """The rows as text; rates are medians a second (for the unit s: seconds), with half the range beside ours."""
    head = ("row", "ours", "", "unit", "plain", "limit", "x plain", "x limit", "goal", "found", "reached", "")
    lines: list[tuple[str, ...]] = [head]
    for one in results:
        rates = {label: median(values) for label, values in one.rates.items() if values}
        if one.unit == "s":
            rates = {label: 1 / value for label, value in rates.items()}
        ours = one.rates.get("ours")
        spread_ = f"±{50 * (max(ours) - min(ours)) / median(ours):.0f} %" if ours else ""
        met = "" if one.met is None else "yes" if one.met else "NO"
        cells = [_number(rates.get(label)) for label in ("ours", "plain", "limit")]
        ratios = [_number(one.ratio(label)) for label in ("plain", "limit")]
        unit = one.unit if one.unit == "s" else f"{one.unit}/s"
        lines.append((one.name, cells[0], spread_, unit, *cells[1:], *ratios, one.goal, _number(one.value), met, one.note))
    wide = [max(len(line[k]) for line in lines) for k in range(len(head))]
    right = {1, 2, 4, 5, 6, 7, 9}
    rows = [
        "  ".join(t.rjust(w) if k in right else t.ljust(w) for k, (t, w) in enumerate(zip(line, wide, strict=True)))
        for line in lines
    ]
    missed = [one.name for one in results if one.met is False]
    reached = sum(one.met is True for one in results)
    end = f"{reached} of {reached + len(missed)} goals reached" + (f"; missed: {', '.join(missed)}" if missed else "")
    setting = f"{about['cpu']}, {about['cores']} cores, {about['system']}, vlmgym {about['vlmgym']}"
    return "\n".join([setting, "", *(row.rstrip() for row in rows), "", end]) + "\n"


def plot(results: Sequence[Result], path: Path) -> None:
    """Cost of a row of a batch against the size of the batch, and of the board; nothing without such rows or Matplotlib."""
    growth = [one for one in results if one.name.startswith("growth ")]
    try:
        need("train", "matplotlib")
    except MissingExtra:
        growth = []
    if not growth:
        return
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    batches, boards = figure.subplots(1, 2)
    for one in growth:
        about_boards = one.name.startswith("growth boards ")
        axes, name = (boards if about_boards else batches), one.name.removeprefix("growth ").removeprefix("boards ")
        for begin, style in (("", "o-"), ("copy ", "s:")):
            points = {
                x.removeprefix(begin): y for x, y in one.rates.items() if x.startswith(begin) and x[len(begin) :][:1].isdigit()
            }
            sizes = [int(x.partition("x")[0]) for x in points]
            axes.plot(sizes, [1e6 / median(y) for y in points.values()], style, label=f"{begin}{name}") if points else None
    for axes, label in ((batches, "games in the batch"), (boards, "cells of a side of the board")):
        axes.set(xlabel=label, ylabel="microseconds a game", xscale="log", yscale="log")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8) if axes.lines else None
    boards.set_xscale("linear")
    figure.savefig(path, dpi=120)
