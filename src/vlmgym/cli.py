"""The command line, ``vlmgym COMMAND``: a table of commands, each a few lines over the library."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from vlmgym import __version__, early
from vlmgym.core import ConfigError, MissingExtra, VlmGymError, counted
from vlmgym.files import shown
from vlmgym.games import GAMES, game_names, games_table, get_game
from vlmgym.players import MAX_TOKENS, PLAYERS

if TYPE_CHECKING:
    from vlmgym.tasks import Task
    from vlmgym.train.recipe import Recipe


class _Help(argparse.HelpFormatter):
    """Shows the default of each option that has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if not action.help or not action.option_strings or isinstance(action.default, bool) or "default" in action.help:
            return action.help
        return action.help if action.default in (None, "", [], argparse.SUPPRESS) else f"{action.help} (default: %(default)s)"


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with a command line in letters that do not steer the terminal."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=_Help, **options)

    def error(self, message: str) -> NoReturn:
        super().error(shown(message))


def _from(low: int, high: int = 1_000_000_000) -> Callable[[str], int]:
    """The type of an option that is a whole number of this range."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{shown(text)[:40]!r}: allowed is {low} to {high}")
        return value

    return read


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="vlmgym", description="Visual games for training and testing vision-language models.")
    parser.add_argument("--version", action="version", version=f"vlmgym {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)

    eval_ = commands.add_parser("eval", help="play frozen seeds and write traces and summaries; run again to go on")
    eval_.add_argument("--player", action="append", required=True, help=PLAYERS + "; or NAME=PLAYER; may be repeated, to compare")
    eval_.add_argument("--protocol", default="", help="a YAML file, or the name of a bundled one: quick, paper, full")
    eval_.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="override of the protocol")
    eval_.add_argument("--sweep", default="", metavar="DIAL=FROM:TO:COUNT", help="e.g. look.noise=0:0.3:4, or level.rows=4,6,8")
    what = eval_.add_argument_group("without a protocol")
    what.add_argument("--game", default="", help=", ".join(GAMES) + ", or module:GameClass")
    what.add_argument("--level", help="name, or name:field=value,... (as a local model was trained, else normal)")
    what.add_argument("--look", help="name, or name:field=value,... (as a local model was trained, else clean)")
    what.add_argument("--prompt", help="full or brief (as a local model was trained, else full)")
    what.add_argument("--reply", default="", help="other names of the blocks: perception=NAME,think=NAME,answer=NAME")
    what.add_argument("--episodes", type=int, default=20, help="episodes, or states of a walk; more may be added later")
    what.add_argument("--turns", "--max-steps", type=int, default=0, help="most turns of an episode; 0 = the level's limit")
    what.add_argument("--start", default="reset", help="reset, or walk: states after random play")
    what.add_argument("--walk", type=int, nargs=2, default=(0, 100), metavar=("MIN", "MAX"), help="moves of the random walk")
    what.add_argument("--walk-legal", action="store_true", help="walk by legal moves")
    what.add_argument("--mode", default="strict", help="strict or lenient parsing")
    what.add_argument("--repeats", type=int, default=1, help="times that each start is played")
    what.add_argument("--history", type=int, default=0, help="earlier turns that are told again; -1 = all")
    what.add_argument("--observation", default="image", help="image, text (the true board in words), both, or prefill")
    what.add_argument("--truth", dest="observation", action="store_const", const="both", help="the true board beside the picture")
    what.add_argument("--patience", type=int, default=20, help="turns with one move and no effect that end an episode; 0 = none")
    model = eval_.add_argument_group("models")
    model.add_argument(
        "--max-new-tokens", type=int, default=None, help=f"most tokens of a reply: {MAX_TOKENS}, or the protocol's"
    )
    model.add_argument("--temperature", type=float, default=None, help="0 = greedy, the default, or the protocol's")
    model.add_argument("--sampling", action="append", default=[], metavar="FIELD=VALUE", help="of requests, e.g. top_p=0.9")
    model.add_argument("--batch", type=_from(1), default=32, help="states that a local model is asked at once")
    model.add_argument("--device", default="auto", help="auto (a GPU if there is one), cpu, cuda, cuda:1 ...")
    model.add_argument("--dtype", default="float32", help="float32, bfloat16 or float16")
    model.add_argument("--threads", type=_from(0, 4096), default=0, help="torch threads; 0 = leave")
    ends = eval_.add_argument_group("endpoints (keys: OPENAI_API_KEY, ANTHROPIC_API_KEY)")
    ends.add_argument("--base-url", default="", help="address of the endpoint")
    ends.add_argument(
        "--api", action="append", default=[], metavar="FIELD=VALUE", help="concurrency, retries, request_seconds ..."
    )
    ends.add_argument("--prices", type=Path, default=None, help="YAML: dollars for a million tokens, MODEL: {input: , output: }")
    eval_.add_argument("--out", type=Path, required=True, help="folder of the run")

    train = commands.add_parser("train", help="run a recipe: cold start, GRPO, or both")
    train.add_argument("recipe", help="a YAML file, or the name of a bundled one: tiny/g0, tiny/g1")
    train.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="override, e.g. grpo.steps=5")
    train.add_argument("--on", action="append", default=[], metavar="HARDWARE", help="adapt to a machine: 1x24gb, 1x80gb, ...")
    train.add_argument("--out", type=Path, required=True, help="folder of the run; run again to continue")
    train.add_argument("--engine", choices=("trl", "verl"), default="trl", help="verl: GRPO on a Ray cluster")
    train.add_argument("--nodes", type=_from(1), default=1, help="machines of the Ray cluster")
    train.add_argument("--gpus", type=_from(1), default=8, help="GPUs of each of them")
    train.add_argument("--samples", default="conversation", metavar="MODE", help="verl, grpo.turns > 1: conversation, per_turn")
    train.add_argument("--dry-run", action="store_true", help="check everything in seconds, and print what would run")

    plan = commands.add_parser("plan", help="what a recipe needs on each kind of hardware, and how it is started there")
    plan.add_argument("recipe", help="a YAML file, or the name of a bundled one: qwen2.5-vl-7b/g1-all")
    plan.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="override, e.g. grpo.batch=160")

    profile = commands.add_parser("profile", help="where the time of a recipe's GRPO steps goes: inside the model, or beside it")
    profile.add_argument("recipe", help="a YAML file, or the name of a bundled one: tiny/g0, tiny/g1")
    profile.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="override, e.g. grpo.batch=16")
    profile.add_argument("--steps", type=int, default=5, help="steps after the first, which is not counted")

    demo = commands.add_parser("demo", help="the main job on two CPU cores: evaluate, train G0 and G1, compare, report")
    demo.add_argument("--out", type=Path, default=Path("runs/demo"))
    demo.add_argument("--quick", action="store_true", help="a few steps and states only: checks the path, not the claim")

    report = commands.add_parser("report", help="one static page from evaluations and training runs")
    report.add_argument("folder", type=Path, nargs="+", help="runs; several are merged")
    report.add_argument("--out", type=Path, default=None, help="the page; by default report.html in the first folder")
    shown = "path of photographs that the boards showed; may be repeated (a path in a trace is not opened by itself)"
    report.add_argument("--photos", type=Path, action="append", default=[], help=shown)
    _know_games(report)

    again = commands.add_parser("rescore", help="judge recorded replies anew, without a model")
    again.add_argument("folder", type=Path, help="a run, or the folder of one evaluation")
    again.add_argument("--mode", default=None, help="strict or lenient parsing; by default as before")
    again.add_argument("--out", type=Path, required=True, help="another folder, laid out alike")
    _know_games(again)

    export = commands.add_parser("export", help="turns of runs as a table, or as a data set to train on")
    export.add_argument("kind", choices=("turns", "sft", "grpo"), help="Parquet of all turns; Hugging Face datasets for TRL")
    export.add_argument("folder", type=Path, nargs="+", help="runs")
    export.add_argument("--only", default="good", help="for sft: good moves, all, or exact (good, and the board seen right)")
    export.add_argument("--out", type=Path, required=True, help="turns: a file; else a folder")
    export.add_argument("--photos", type=Path, action="append", default=[], help=shown)
    _know_games(export)

    film = commands.add_parser("video", help="one episode as MP4 or GIF, the reply beside the board")
    film.add_argument("folder", type=Path, help="folder of a trace.jsonl")
    film.add_argument("--episode", type=_from(0), default=0, help="its number")
    film.add_argument("--out", type=Path, required=True, help="file.mp4 or file.gif")
    film.add_argument("--photos", type=Path, action="append", default=[], help=shown)
    _know_games(film)

    reproduce = commands.add_parser("reproduce", help="the paper's claims, measured with the embedded model; run again to go on")
    reproduce.add_argument("--out", type=Path, default=None, help="folder; runs/reproduce, or runs/reproduce-quick")
    reproduce.add_argument("--quick", action="store_true", help="one seed, fewer steps, wider intervals")
    reproduce.add_argument("--study", default="g1", help="a YAML file, or the name of a bundled study")
    reproduce.add_argument(
        "--jobs", type=_from(0, 4096), default=0, help="processes side by side; 0 = one a core, or as many as a GPU holds"
    )
    reproduce.add_argument("--hours", type=float, default=0.0, help="stop in order after so long; 0 = go on to the end")
    reproduce.add_argument("--list", action="store_true", help="the jobs, what each costs (in answers) and needs")
    reproduce.add_argument("--only", nargs="+", default=[], metavar="JOB", help="patterns of jobs: these, and what they need")
    reproduce.add_argument("--job", default="", help="do one job of the list, and nothing else")
    reproduce.add_argument("--report", action="store_true", help="write the report of what there is, and run nothing")

    pretrain = commands.add_parser("pretrain-tiny", help="rebuild the embedded tiny model from its seed")
    pretrain.add_argument("--out", type=Path, required=True)
    pretrain.add_argument("--steps", type=_from(0), default=0, help="0 = as for the committed checkpoint")

    check = commands.add_parser("check", help="try a game for everything that the library relies on")
    check.add_argument("game", help="name, module:GameClass, or all")
    check.add_argument("--level", action="append", default=[], help="only this level (may be repeated)")

    commands.add_parser("games", help="list the games")

    gallery = commands.add_parser("gallery", help="every game, level and look as pictures, with a page for each game")
    gallery.add_argument("--out", type=Path, required=True)
    gallery.add_argument("--game", action="append", default=[], help="only this game (may be repeated)")

    play = commands.add_parser("play", help="play it yourself on a local web page; episodes are saved as a trace")
    play.add_argument("game", help=", ".join(GAMES) + ", or module:GameClass")
    play.add_argument("--level", default="normal", help="name, or name:field=value,...")
    play.add_argument("--look", default="clean", help="name, or name:field=value,...")
    play.add_argument("--seed", type=_from(0), default=0, help="number of the first game")
    play.add_argument("--out", type=Path, default=Path("runs/human"), help="folder of trace.jsonl and summary.json")
    play.add_argument("--port", type=int, default=0, help="0 = any free one")
    play.add_argument("--no-browser", action="store_true", help="only print the address")

    photos = commands.add_parser("photos", help="download the photographs of a data set, and check them")
    photos.add_argument("set", choices=("cifar10",))

    baselines = commands.add_parser("baselines", help="recompute the stored baselines of every game and level")
    baselines.add_argument("--out", type=Path, default=None, help="file to write; by default the one in the package")
    baselines.add_argument("--scratch", type=Path, default=Path("runs/baselines.jsonl"), help="finished pieces, to go on from")
    baselines.add_argument("--processes", type=_from(0, 4096), default=0, help="0 = one a core")

    compile_ = commands.add_parser("compile", help="compile all kernels now; else each is at its first use, once on a machine")
    compile_.add_argument("--processes", type=_from(0, 4096), default=0, help="0 = one a core")
    return parser


def _know_games(command: argparse.ArgumentParser) -> None:
    """The option by which a command that reads traces is told of games; what only a trace names is never imported."""
    text = "module:GameClass of a game in the traces, if it is none of vlmgym and not installed (may be repeated)"
    command.add_argument("--game", dest="known_games", action="append", default=[], metavar="GAME", help=text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status.

    0: done. 1: measured, and it failed (or nothing could be measured). 2: something that the user can mend, said in a line.
    130: Ctrl-C. 141: whoever read the output has gone. What is none of these is a defect, and keeps its traceback.
    """
    options = argparse.Namespace(command="")
    try:
        early.release()
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):  # a terminal that knows few letters shows the others as escapes
                stream.reconfigure(errors="backslashreplace")
        words = sys.argv[1:] if arguments is None else arguments
        _see_that_files_can_be_called_so(words)
        options = _parser().parse_args(words)
        for name in getattr(options, "known_games", ()):
            get_game(name)
        status = int(_COMMANDS[options.command](options) or 0)
        if "torch.distributed" in sys.modules:
            from vlmgym.train.model import end_processes

            end_processes()
        sys.stdout.flush()
        return status
    except VlmGymError as error:
        return _end(options.command, str(error), 2)
    except KeyboardInterrupt:
        return _end(options.command, _STOPPED.get(options.command, "stopped"), 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)  # for the flush at the exit
        return 141
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _end(options.command, f"{where}{error.strerror or error}", 2)
    except MemoryError:
        return _end(options.command, "not enough memory", 2)
    except RecursionError:
        return _end(options.command, "something that it read is nested too deep", 2)


def _see_that_files_can_be_called_so(words: Sequence[str]) -> None:
    """Refuse halves of characters and zero bytes, of which no file system makes a name.

    Raises:
        ConfigError: there is one.
    """
    for word in words:
        try:
            os.fsencode(word)
        except UnicodeEncodeError as error:
            raise ConfigError("argument", word, "text without halves of characters") from error
        if "\0" in word:
            raise ConfigError("argument", word, "text without zero bytes")


_STOPPED = {
    "eval": "stopped; what was answered is kept, and the same command goes on from there",
    "demo": "stopped; what is done is kept, and the same command goes on from there",
    "baselines": "stopped; finished pieces are kept, and the same command goes on from there",
}
"""What Ctrl-C leaves behind, by command."""


def _end(command: str, text: str, status: int) -> int:
    sys.stderr.write("\n".join(shown(line) for line in f"{f'vlmgym {command}'.strip()}: {text}".splitlines()) + "\n")
    return status


def _eval(options: argparse.Namespace) -> int:
    from vlmgym.config import find, read_file, read_prices
    from vlmgym.evaluate import Evaluation, evaluate
    from vlmgym.players.api import ApiSettings
    from vlmgym.players.roster import is_heavy, make_player, named_players
    from vlmgym.protocol import Protocol, run_protocol
    from vlmgym.tasks import Task

    if options.protocol:
        protocol = Protocol.parse(read_file("protocol", find("protocol", options.protocol), options.set))
    else:
        if not options.game:
            raise ConfigError("--game", "", "the name of a game (or a --protocol)")
        if options.set:
            raise ConfigError("--set", options.set[0], "a field of a --protocol")
        usual = _as_trained(options.player, options.game)
        task = Task(
            game=options.game,
            level=options.level or usual.names.level,
            look=options.look or usual.names.look,
            prompt=options.prompt or usual.prompt,
            reply=options.reply,
            walk_min=options.walk[0],
            walk_max=options.walk[1],
            walk_legal=options.walk_legal,
        )
        keys = ("episodes", "turns", "start", "mode", "repeats", "history", "observation", "patience")
        protocol = Protocol(((task, Evaluation(**{key: getattr(options, key) for key in keys})),))
    _warn_of_the_unknown(_local_models(options.player), [task for task, _ in protocol.entries])
    given = _fields("--sampling", options.sampling)
    given |= {"max_tokens": options.max_new_tokens} if options.max_new_tokens is not None else {}
    given |= {"temperature": options.temperature} if options.temperature is not None else {}
    protocol = replace(protocol, sampling={"max_tokens": MAX_TOKENS, "temperature": 0.0, **protocol.sampling, **given})
    if options.sweep:
        from vlmgym.analysis import sweep

        dial, sign, values = options.sweep.partition("=")
        if not sign:
            raise ConfigError("--sweep", options.sweep, "DIAL=FROM:TO:COUNT")
        protocol = protocol.swept(dial, sweep(values))
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    prices = read_prices(options.prices) if options.prices else None
    api = ApiSettings.parse(_fields("--api", options.api))
    models = (options.batch, options.device, options.dtype, options.base_url, api, prices)
    first = protocol.entries[0][0]
    made = (first.look, first.prompt, protocol.sampling, *models)
    makers = {label: partial(make_player, word, *made) for label, word in named_players(options.player).items()}
    heavy = {label for label, word in named_players(options.player).items() if is_heavy(word)}
    if len(makers) == len(protocol.entries) == 1:
        ((label, make),), (task, how) = makers.items(), protocol.entries[0]
        player = make()
        player.name = label
        found = {label: [evaluate(player, task, how, options.out)]}
        sys.stdout.write(table(found[label][0]))
    else:
        found = run_protocol(protocol, makers, options.out, heavy=heavy)
    return _conclude(found, protocol.names(), options.out, [task.look.photos for task, _ in protocol.entries])


def _conclude(found: Mapping[str, Sequence[dict[str, Any]]], names: Sequence[str], out: Path, photos: Sequence[str] = ()) -> int:
    """Say what was measured, what is doubtful about it, where it lies and what comes next; the exit status."""
    from vlmgym.analysis import overview
    from vlmgym.evaluate import failed_of

    sys.stdout.write(overview(found, names))
    for label, summaries in found.items():
        for name, summary in zip(names, summaries, strict=True):
            for text in filter(None, [failed_of(summary), *summary["warnings"]]):
                sys.stderr.write(f"warning: {shown(f'{label} on {name}: {text}')}\n")
    measured = [any(one["episodes"]["failed"] < one["episodes"]["n"] for one in summaries) for summaries in found.values()]
    if any(measured):
        _compare(out, photos)
        sys.stdout.write(f"next: open {out / 'report.html'}; vlmgym report RUN RUN ... puts runs together on one page\n")
    return 0 if all(measured) else 1


def _local_models(players: Sequence[str]) -> dict[str, Any]:
    """What the local models among these players were trained for, by the word of the player; None where it is not said."""
    from vlmgym.train.trained import trained_for

    found = {}
    for text in players:
        before, kind, name = text.partition("local:")
        if kind and (not before or before.endswith("=")):
            found[text] = trained_for(name)
    return found


def _as_trained(players: Sequence[str], game: str) -> Task:
    """How a game is asked where nothing is said: as all players that are local models were trained, if they agree."""
    from vlmgym.tasks import Task

    known = [about.task(game) if about else None for about in _local_models(players).values()]
    alike = {(task.names.level, task.names.look, task.prompt) if task else None for task in known}
    first = known[0] if len(alike) == 1 and len(known) == len(players) else None
    return first or Task(game=game)


def _warn_of_the_unknown(known: Mapping[str, Any], tasks: Sequence[Task]) -> None:
    """Say what local models are asked that they were never trained on, before they are loaded."""
    for text, about in known.items():
        for warning in dict.fromkeys(about.warn(task) for task in tasks) if about else ():
            if warning:
                sys.stderr.write(f"warning: {text}: {warning}\n")


def _fields(option: str, texts: Sequence[str]) -> dict[str, Any]:
    """``FIELD=VALUE`` words, values as in YAML."""
    from vlmgym.config import read_value

    return {text.partition("=")[0]: read_value(option, text) for text in texts}


def _compare(out: Path, photos: Sequence[str] = ()) -> None:
    """Leaderboard, figures and report of a folder of evaluations, whose photographs come from these paths."""
    from vlmgym.analysis import leaderboard
    from vlmgym.evaluate import places
    from vlmgym.figures import figures
    from vlmgym.report import write_report

    try:
        folders = [place.folder for place in places([out]) if (place.folder / "summary.json").exists()]
        leaderboard(folders, out)
        try:
            drawn = f"{counted(len(figures(folders, out / 'figures')), 'picture')} in figures/"
        except MissingExtra as error:
            drawn = f"no pictures ({error})"
        page = write_report(out, photos=photos).name
    except VlmGymError as error:  # the evaluation is whole; what stands beside it in the folder may not be
        sys.stderr.write(f"warning: no pages about {out}: {shown(str(error))}\n")
        return
    sys.stdout.write(f"{out}: traces and summaries, leaderboard.md, leaderboard.csv, {page}, {drawn}\n")


def table(summary: dict[str, Any]) -> str:
    """The metrics of a summary as text lines: name, mean, 95 % interval, n."""
    from vlmgym.metrics import DESCRIBING, shown_in

    task, lines = summary["task"], []
    who = shown(f"{summary['player']} on {task['game']} {task['level']}")
    lines.append(f"{who}, {counted(summary['evaluation']['episodes'], 'episode')}")
    for name, value in summary["metrics"].items():
        if summary["sees"] == "state" and name in DESCRIBING:
            lines.append(f"  {name:<20}     given   (the player is handed the board)")
        elif value["mean"] is None:
            lines.append(f"  {name:<20} -")
        elif value["low"] is None:
            lines.append(f"  {name:<20} {value['mean']:9.3f}   (no interval)   n={value['n']}")
        else:
            lines.append(f"  {name:<20} {value['mean']:9.3f}   [{value['low']:.3f}, {value['high']:.3f}]   n={value['n']}")
    if summary["baselines"]:
        lines.append(f"  {'baselines':<20} " + "".join(f"{metric:>26}" for metric in shown_in("baselines")))
    for name, row in summary["baselines"].items():
        cells = (f"{row[m]['mean']:.2f} [{row[m]['low']:.2f}, {row[m]['high']:.2f}]" for m in shown_in("baselines"))
        lines.append(f"    {name:<18} " + "".join(f"{cell:>26}" for cell in cells))
    return "\n".join(lines) + "\n"


def _plan(options: argparse.Namespace) -> None:
    from vlmgym.core import need
    from vlmgym.train.model import TRAINING

    need("train", *TRAINING)
    from vlmgym.train.plan import report

    sys.stdout.write(report(options.recipe, options.set))


def _dry_run(options: argparse.Namespace, recipe: Recipe) -> int:
    from vlmgym.train.plan import check, launch_lines
    from vlmgym.train.sizes import architecture

    for stage, settings in (("cold start", recipe.cold_start), ("sft", recipe.cold_start and recipe.sft), ("grpo", recipe.grpo)):
        if settings:
            sys.stdout.write(f"{stage}: {', '.join(f'{key} {value}' for key, value in asdict(settings).items())}\n")
    found = check(recipe, options.out)
    for line in found:
        sys.stdout.write(f"{line}\n")
    model = architecture(recipe.model) if any(one.what == "architecture" and one.level == "ok" for one in found) else None
    for title, text in launch_lines(options.recipe, options.on[0] if options.on else "", model=model):
        sys.stdout.write(f"# {title}\n{text}\n")
    return 2 if any(line.level == "error" for line in found) else 0


def _train(options: argparse.Namespace) -> int:
    from vlmgym.core import need
    from vlmgym.train.model import TRAINING
    from vlmgym.train.recipe import read_recipe, recipe_path, train
    from vlmgym.train.survive import Interrupted

    if options.engine == "trl":
        need("train", *TRAINING)
    recipe = read_recipe(recipe_path(options.recipe), options.set, options.on)
    if options.engine == "verl":
        from vlmgym.core import ConfigError
        from vlmgym.train.cluster import launch
        from vlmgym.train.plan import devices

        for on in options.on:
            if devices(on) > 1:  # its batch is that of one process, and verl's is that of all
                raise ConfigError("on", on, "an overlay of one GPU, or none, for verl: it shares grpo.batch out itself")
        return launch(recipe, options.out, options.nodes, options.gpus, options.samples, print_only=options.dry_run)
    if options.dry_run:
        return _dry_run(options, recipe)
    try:
        final = train(recipe, options.out)
    except Interrupted as stopped:  # asked for, and in order: the scheduler sees a success and starts the command again
        sys.stderr.write(f"vlmgym train: {stopped}\n")
        return 0
    if recipe.compute.processes().is_main_process:
        sys.stdout.write(f"{final}\n")
    return 0


def _profile(options: argparse.Namespace) -> None:
    from vlmgym.core import ConfigError, need
    from vlmgym.train.model import TRAINING

    need("train", *TRAINING)
    from vlmgym.train.profile import MODEL, profile_grpo
    from vlmgym.train.recipe import read_recipe, recipe_path

    if options.steps < 1:
        raise ConfigError("steps", options.steps, "1 or more")
    recipe = read_recipe(recipe_path(options.recipe), [*options.set, f"grpo.steps={options.steps + 1}"])
    if recipe.grpo is None:
        raise ConfigError("recipe", options.recipe, "a recipe with GRPO")
    with tempfile.TemporaryDirectory() as out:
        found = profile_grpo(
            *recipe.compute.load(recipe.model), recipe.tasks, Path(out), recipe.grpo, recipe.reward, recipe.compute, recipe.lora
        )
    share, step = found.pop("in model"), found.pop("step")
    for name, seconds in found.items():
        where = "model" if name in MODEL else ""
        sys.stdout.write(f"  {name:<24} {seconds:9.3f} s  {seconds / step:6.1%}  {where}\n")
    sys.stdout.write(f"  {'a step':<24} {step:9.3f} s  inside the model: {share:.1%}\n")


def _compile(options: argparse.Namespace) -> None:
    from tqdm import tqdm

    from vlmgym.env import compile_all

    with tqdm(desc="compile", unit="job", file=sys.stderr) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        seconds = compile_all(options.processes, show)
    sys.stdout.write(f"compiled in {seconds:.1f} s\n")


def _demo(options: argparse.Namespace) -> int:
    from vlmgym.demo import run_demo

    return run_demo(options.out, quick=options.quick)


def _see_photos(paths: Sequence[Path]) -> None:
    """See that the photographs which a command line names are there."""
    for path in paths:
        if not path.exists():
            raise ConfigError("--photos", str(path), "the path of photographs that are there")


def _report(options: argparse.Namespace) -> None:
    from vlmgym.report import write_report

    _see_photos(options.photos)
    sys.stdout.write(f"{write_report(options.folder, options.out, photos=options.photos)}\n")


def _traces(folder: Path) -> list[Path]:
    """The traces of a run, or of one evaluation."""
    found = [path for path in (folder / "trace.jsonl",) if path.exists()] + sorted(folder.glob("eval/*/*/trace.jsonl"))
    if not found:
        raise ConfigError("folder", str(folder), "a folder with trace.jsonl or eval/PLAYER/TASK/trace.jsonl")
    return found


def _export(options: argparse.Namespace) -> None:
    from vlmgym.export import export_grpo, export_sft, turns_table

    _see_photos(options.photos)
    found = [path for folder in options.folder for path in _traces(folder)]
    if options.kind == "turns":
        done = turns_table(found, options.out)
    else:
        sft = options.kind == "sft"
        done = (
            export_sft(found, options.out, options.only, options.photos)
            if sft
            else export_grpo(found, options.out, options.photos)
        )
    sys.stdout.write(f"{done}\n")


def _video(options: argparse.Namespace) -> None:
    from vlmgym.export import video

    _see_photos(options.photos)
    first, *more = _traces(options.folder)
    if more:
        there = ", ".join(str(path.parent) for path in [first, *more][:12]) + (" ..." if len(more) > 11 else "")
        raise ConfigError("folder", str(options.folder), f"the folder of one trace; there are {len(more) + 1}: {there}")
    sys.stdout.write(f"{video(first, options.episode, options.out, photos=options.photos)}\n")


def _rescore(options: argparse.Namespace) -> int:
    from vlmgym.analysis import overview
    from vlmgym.evaluate import rescore

    measured = True
    for folder in [path.parent for path in _traces(options.folder)]:
        summary = rescore(folder, options.out / folder.relative_to(options.folder), options.mode)
        sys.stdout.write(overview({summary["player"]: [summary]}, [folder.name]))
        if left_out := summary["rescored"]["left_out"]:
            why = "after a reply that is read as another move, or recorded on another board than comes up"
            sys.stdout.write(f"  {counted(left_out, 'turn')} left out, {why}\n")
        measured &= summary["episodes"]["failed"] < summary["episodes"]["n"]
    return 0 if measured else 1


def _reproduce(options: argparse.Namespace) -> int:
    from vlmgym.results import write_results
    from vlmgym.study import is_done, read_study, run_job, run_study
    from vlmgym.train.survive import Interrupted

    study = read_study(options.study, options.quick)
    options.out = options.out or Path("runs/reproduce-quick" if options.quick else "runs/reproduce")
    if options.list:
        for job in study.wanted(options.only):
            done = "done" if is_done(study, options.out, job.name) else ", ".join(job.needs)
            sys.stdout.write(f"{job.name:<28} {job.cost:>10,.0f}  {done}\n")
        return 0
    try:
        if options.job:
            run_job(study, options.out, options.job)
            return 0
        if not options.report:
            run_study(options.study, options.out, options.quick, options.jobs, options.hours, options.only)
    except Interrupted as stopped:
        sys.stderr.write(f"vlmgym reproduce: {stopped}\n")
        return 0
    sys.stdout.write(f"{write_results(study, options.out)}\n")
    return 0


def _pretrain(options: argparse.Namespace) -> None:
    from vlmgym.train.tiny import pretrain_command

    sys.stdout.write(f"{pretrain_command(options.out, options.steps)}\n")


def _check(options: argparse.Namespace) -> int:
    from vlmgym.testing import iter_checks

    failed = 0
    for name in game_names() if options.game == "all" else (options.game,):
        for found in iter_checks(name, tuple(options.level)):
            mark = "ok  " if found.ok else "FAIL"
            sys.stdout.write(f"{mark} {name} {found.level}: {found.check}{': ' + found.detail if found.detail else ''}\n")
            if not found.ok:
                failed += 1
                sys.stdout.write(f"     look at {found.look_at}\n")
            sys.stdout.flush()
    sys.stdout.write(f"{counted(failed, 'check')} failed\n" if failed else "all checks passed\n")
    return 1 if failed else 0


def _games(options: argparse.Namespace) -> None:
    sys.stdout.write(games_table())


def _gallery(options: argparse.Namespace) -> None:
    from vlmgym.gallery import write_gallery

    sys.stdout.write(f"{write_gallery(options.out, options.game)}\n")


def _photos(options: argparse.Namespace) -> None:
    from vlmgym.photos import fetch_cifar10

    sys.stdout.write(f"{fetch_cifar10()}\n")


def _baselines(options: argparse.Namespace) -> None:
    from vlmgym import baselines

    target = options.out or Path(baselines.__file__).parent / "data" / "baselines.json"
    baselines.rebuild(target, options.scratch, options.processes)
    sys.stdout.write(f"{target}\n")


def _play(options: argparse.Namespace) -> None:
    import webbrowser

    from vlmgym.webplay import serve

    ready = None if options.no_browser else webbrowser.open
    serve(options.game, options.level, options.look, options.seed, options.out, options.port, ready)


_COMMANDS = {
    "play": _play,
    "games": _games,
    "check": _check,
    "gallery": _gallery,
    "photos": _photos,
    "baselines": _baselines,
    "compile": _compile,
    "profile": _profile,
    "eval": _eval,
    "train": _train,
    "plan": _plan,
    "demo": _demo,
    "report": _report,
    "rescore": _rescore,
    "export": _export,
    "video": _video,
    "pretrain-tiny": _pretrain,
    "reproduce": _reproduce,
}


if __name__ == "__main__":
    sys.exit(main())
