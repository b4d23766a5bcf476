"""Commands about games: list, check, show and play them, and what is stored of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vlmgym.cli.parser import (
    LEVEL_OR_LOOK,
    Options,
    Parser,
    command,
    processes_option,
    setting_option,
    whole_from,
)
from vlmgym.core.errors import counted

if TYPE_CHECKING:
    from vlmgym.testing.checks import CheckResult


@command("games", "list the games")
def games_command(options: Options) -> None:
    """Print the table of games."""
    from vlmgym.games import games_table

    sys.stdout.write(games_table())


def check_options(parser: Parser) -> None:
    """The options of ``vlmgym check``."""
    parser.add_argument("game", help="name, module:GameClass, or all")
    parser.add_argument(
        "--level",
        action="append",
        default=[],
        help="only this level (may be repeated)",
    )


@command("check", "try a game for everything that the library relies on", check_options)
def check_command(options: Options) -> int:
    """Print what each check found; 1 if one failed."""
    from vlmgym.testing.checks import iter_checks

    levels = tuple(options.level)
    if options.game == "all":
        failed = _check_all(levels)
    else:
        failed = sum(_show_check(options.game, one) for one in iter_checks(options.game, levels))
    sys.stdout.write(f"{counted(failed, 'check')} failed\n" if failed else "all checks passed\n")
    return 1 if failed else 0


def _check_all(levels: tuple[str, ...]) -> int:
    """Check all games, side by side; returns how many checks failed."""
    from vlmgym.core.processes import results_of
    from vlmgym.games import game_names
    from vlmgym.testing.checks import check_levels

    pieces = [(name, levels) for name in game_names()]
    with results_of(check_levels, pieces) as checked:
        return sum(_show_check(name, one) for (name, _), found in checked for one in found)


def _show_check(name: str, result: CheckResult) -> bool:
    """Print a line about a check; returns whether it failed."""
    mark = "ok  " if result.ok else "FAIL"
    detail = f": {result.detail}" if result.detail else ""
    sys.stdout.write(f"{mark} {name} {result.level}: {result.check}{detail}\n")
    if not result.ok:
        sys.stdout.write(f"     look at {result.look_at}\n")
    sys.stdout.flush()
    return not result.ok


def games_option(parser: Parser) -> None:
    """``--game``, of a command that takes all games by default."""
    parser.add_argument(
        "--game",
        action="append",
        default=[],
        help="only this game (may be repeated)",
    )


def gallery_options(parser: Parser) -> None:
    """The options of ``vlmgym gallery``."""
    parser.add_argument("--out", type=Path, required=True)
    games_option(parser)


@command(
    "gallery",
    "every game, level and look as pictures, with a page for each game",
    gallery_options,
)
def gallery_command(options: Options) -> None:
    """Write the gallery, and print where it is."""
    from vlmgym.apps.gallery import write_gallery

    sys.stdout.write(f"{write_gallery(options.out, options.game)}\n")


def play_options(parser: Parser) -> None:
    """The options of ``vlmgym play``."""
    from vlmgym.episodes.task import Task
    from vlmgym.games import GAMES

    parser.add_argument("game", help=", ".join(GAMES) + ", or module:GameClass")
    setting_option(parser, Task, "level", help=LEVEL_OR_LOOK)
    setting_option(parser, Task, "look", help=LEVEL_OR_LOOK)
    parser.add_argument("--seed", type=whole_from(0), default=0, help="number of the first game")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/human"),
        help="folder of trace.jsonl and summary.json",
    )
    parser.add_argument("--port", type=int, default=0, help="0 = any free one")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")


@command(
    "play",
    "play it yourself on a local web page; episodes are saved as a trace",
    play_options,
)
def play_command(options: Options) -> None:
    """Serve the page until Ctrl-C."""
    import webbrowser

    from vlmgym.apps.play import serve

    serve(
        options.game,
        options.level,
        options.look,
        options.seed,
        options.out,
        options.port,
        ready=None if options.no_browser else webbrowser.open,
    )


def photos_options(parser: Parser) -> None:
    """The options of ``vlmgym photos``."""
    parser.add_argument("set", choices=("cifar10",))


@command("photos", "download the photographs of a data set, and check them", photos_options)
def photos_command(options: Options) -> None:
    """Download, and print where they are."""
    from vlmgym.render.cifar import fetch_cifar10

    sys.stdout.write(f"{fetch_cifar10()}\n")


def baselines_options(parser: Parser) -> None:
    """The options of ``vlmgym baselines``."""
    games_option(parser)
    parser.add_argument(
        "--out",
        type=Path,
        default=None,
        help="file to write; by default the one in the package",
    )
    parser.add_argument(
        "--scratch",
        type=Path,
        default=Path("runs/baselines.jsonl"),
        help="finished pieces, to go on from",
    )
    processes_option(parser)


@command(
    "baselines",
    "recompute the stored baselines of every level of all games, or of some",
    baselines_options,
    stopped="stopped; finished pieces are kept, and the same command goes on from there",
)
def baselines_command(options: Options) -> None:
    """Play them, and print the file."""
    from vlmgym.evals import baselines

    target = options.out or Path(baselines.__file__).with_suffix(".json")
    baselines.rebuild(target, options.scratch, options.processes, options.game)
    sys.stdout.write(f"{target}\n")


@command(
    "compile",
    "compile all kernels now; else each is at its first use, once on a machine",
    processes_option,
)
def compile_command(options: Options) -> None:
    """Compile, and print how long it took."""
    from tqdm import tqdm

    from vlmgym.apps.compile import compile_all

    with tqdm(desc="compile", unit="job", file=sys.stderr) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        seconds = compile_all(options.processes, show)
    sys.stdout.write(f"compiled in {seconds:.1f} s\n")
