"""Commands that measure players: play frozen seeds, and judge recorded replies anew."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmgym.cli.conclude import conclude, duel_table, is_measured, table
from vlmgym.cli.parser import (
    LEVEL_OR_LOOK,
    Adder,
    Options,
    Parser,
    command,
    known_games_option,
    override_option,
    setting_of,
    setting_option,
    setting_options,
    settings_from,
    whole_from,
)
from vlmgym.cli.paths import traces_in
from vlmgym.core.errors import ConfigError, counted, shown

if TYPE_CHECKING:
    from vlmgym.episodes.task import Task
    from vlmgym.evals.protocol import Protocol
    from vlmgym.players.base import Player
    from vlmgym.train.trained import TrainedFor


LEFT_OUT = "after a reply that is read as another move, or recorded on another board than comes up"
"""Why a turn is not judged anew."""


# ---- vlmgym eval
def eval_options(parser: Parser) -> None:
    """The options of ``vlmgym eval``."""
    from vlmgym.players.registry import PLAYERS

    parser.add_argument(
        "--player",
        action="append",
        required=True,
        help=f"{PLAYERS}; or NAME=PLAYER; may be repeated, to compare",
    )
    parser.add_argument(
        "--opponent",
        default="",
        metavar="PLAYER",
        help="who plays against the player, in a game with the tag opponent",
    )
    parser.add_argument(
        "--protocol",
        default="",
        help="a YAML file, or the name of a bundled one: quick, paper, full",
    )
    override_option(parser, "override of the protocol")
    parser.add_argument(
        "--sweep",
        default="",
        metavar="DIAL=FROM:TO:COUNT",
        help="e.g. look.noise=0:0.3:4, or level.rows=4,6,8",
    )
    _task_options(parser.add_argument_group("without a protocol"))
    _model_options(parser.add_argument_group("models"))
    _endpoint_options(
        parser.add_argument_group("endpoints (keys: OPENAI_API_KEY, ANTHROPIC_API_KEY)"),
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")


def _task_options(group: Adder) -> None:
    """What is asked, and how it is measured."""
    from vlmgym.episodes.task import Task
    from vlmgym.evals.settings import Evaluation
    from vlmgym.games import GAMES

    def usual(name: str) -> str:
        return f"(as a local model was trained, else {setting_of(Task, name).default})"

    group.add_argument("--game", default="", help=", ".join(GAMES) + ", or module:GameClass")
    for name in ("level", "look"):
        setting_option(group, Task, name, default=None, help=f"{LEVEL_OR_LOOK} {usual(name)}")
    setting_option(group, Task, "prompt", default=None, help=f"prompt style {usual('prompt')}")
    setting_option(group, Task, "reply")
    flags = {"turns": ("--turns", "--max-steps")}
    setting_options(group, Evaluation, leave_out=("first", "oracle"), flags=flags)
    group.add_argument(
        "--truth",
        dest="observation",
        action="store_const",
        const="both",
        help="the true board beside the picture",
    )
    bounds = setting_of(Task, "walk_min").default, setting_of(Task, "walk_max").default
    group.add_argument(
        "--walk",
        type=int,
        nargs=2,
        default=bounds,
        metavar=("MIN", "MAX"),
        help="moves of the random walk",
    )
    setting_option(group, Task, "walk_legal")


def _model_options(group: Adder) -> None:
    """How models are sampled, and where local ones run."""
    from vlmgym.players.asked import LocalSettings
    from vlmgym.players.registry import MAX_TOKENS

    group.add_argument(
        "--max-new-tokens",
        type=int,
        default=None,
        help=f"most tokens of a reply: {MAX_TOKENS}, or the protocol's",
    )
    group.add_argument(
        "--temperature",
        type=float,
        default=None,
        help="0 = greedy, the default, or the protocol's",
    )
    group.add_argument(
        "--sampling",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="of requests, e.g. top_p=0.9",
    )
    batch = setting_of(LocalSettings, "batch").metadata
    setting_option(group, LocalSettings, "batch", type=whole_from(batch["low"], batch["high"]))
    setting_option(group, LocalSettings, "device")
    setting_option(group, LocalSettings, "dtype")
    setting_option(group, LocalSettings, "path")
    group.add_argument(
        "--threads",
        type=whole_from(0, 4096),
        default=0,
        help="torch threads; 0 = leave",
    )


def _endpoint_options(group: Adder) -> None:
    """Where models behind an endpoint are, and how they are asked."""
    from vlmgym.players.api_settings import ApiSettings

    group.add_argument("--base-url", default="", help="address of the endpoint")
    group.add_argument(
        "--api",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help=", ".join(field.name for field in fields(ApiSettings)),
    )
    group.add_argument(
        "--prices",
        type=Path,
        default=None,
        help="YAML: dollars for a million tokens, MODEL: {input: , output: }",
    )


@command(
    "eval",
    "play frozen seeds and write traces and summaries; run again to go on",
    eval_options,
    stopped="stopped; what was answered is kept, and the same command goes on from there",
)
def eval_command(options: Options) -> int:
    """Measure the players; 1 if one of them finished no episode at all."""
    from vlmgym.evals.evaluation import evaluate
    from vlmgym.evals.protocol import run_protocol
    from vlmgym.players.registry import is_heavy, named_players

    protocol = _protocol_of(options)
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    if options.opponent:
        return _against(options, protocol)
    makers = _makers_of(options, protocol)
    words = named_players(options.player)
    if len(makers) == len(protocol.entries) == 1:
        label, make = next(iter(makers.items()))
        task, evaluation = protocol.entries[0]
        player = make()
        player.name = label
        summary = evaluate(player, task, evaluation, options.out)
        sys.stdout.write(table(summary))
        measured = {label: [summary]}
    else:
        heavy = {label for label, word in words.items() if is_heavy(word)}
        measured = run_protocol(protocol, makers, options.out, heavy=heavy)
    photos = [task.look.photos for task, _ in protocol.entries]
    return conclude(measured, protocol.names(), options.out, photos)


def _against(options: Options, protocol: Protocol) -> int:
    """Let the player and its opponent play against each other."""
    from vlmgym.evals.duels import duel, see_versus

    if options.protocol or options.sweep or len(options.player) > 1:
        allowed = "used with one --player and a --game, without --protocol and --sweep"
        raise ConfigError("--opponent", options.opponent, allowed)
    ((task, evaluation),) = protocol.entries
    see_versus(task)
    makers = _makers_of(options, protocol)
    labels = [*makers]
    player = makers[labels[0]]()
    opponent = makers[labels[-1]]()
    player.name = labels[0]
    opponent.name = labels[1] if len(labels) > 1 else f"{player.name} (opponent)"
    result = duel(player, opponent, task, evaluation, options.out)
    sys.stdout.write(duel_table(result))
    for warning in result["warnings"]:
        sys.stderr.write(f"warning: {shown(warning)}\n")
    summaries = result["summaries"]
    measured = {player.name: summaries[:2], opponent.name: summaries[2:]}
    names = [f"{task.names.game}-{side}" for side in result["games"]]
    return conclude(measured, names, options.out, [task.look.photos])


def _players(options: Options) -> list[str]:
    """The words of all who are asked."""
    return [*options.player, *filter(None, [options.opponent])]


def _protocol_of(options: Options) -> Protocol:
    """What the players are asked: a file, or a task of the command line; swept if wanted."""
    from vlmgym.core.config import find, read_file
    from vlmgym.evals.curves import sweep
    from vlmgym.evals.protocol import Protocol
    from vlmgym.evals.settings import Evaluation

    if options.protocol:
        path = find("protocol", options.protocol)
        protocol = Protocol.parse(read_file("protocol", path, options.set))
    else:
        if not options.game:
            raise ConfigError("--game", "", "the name of a game (or a --protocol)")
        if options.set:
            raise ConfigError("--set", options.set[0], "a field of a --protocol")
        evaluation = Evaluation(**settings_from(Evaluation, options))
        protocol = Protocol(((_task_of(options), evaluation),))
    tasks = [task for task, _ in protocol.entries]
    _warn_of_the_unknown(_local_models(_players(options)), tasks)
    protocol = replace(protocol, sampling=_sampling_of(options, protocol))
    if not options.sweep:
        return protocol
    dial, sign, values = options.sweep.partition("=")
    if not sign:
        raise ConfigError("--sweep", options.sweep, "DIAL=FROM:TO:COUNT")
    return protocol.swept(dial, sweep(values))


def _task_of(options: Options) -> Task:
    """The task of the command line; what is not said is as local models were trained."""
    from vlmgym.episodes.task import Task

    defaults = _as_trained(_players(options), options.game)
    settings = settings_from(Task, options)
    settings["level"] = options.level or defaults.names.level
    settings["look"] = options.look or defaults.names.look
    settings["prompt"] = options.prompt or defaults.prompt
    settings["walk_min"], settings["walk_max"] = options.walk
    return Task(**settings)


def _sampling_of(options: Options, protocol: Protocol) -> dict[str, Any]:
    """How models are sampled: as usual, over that the protocol's, over that the command line's."""
    from vlmgym.players.registry import MAX_TOKENS

    defaults = {"max_tokens": MAX_TOKENS, "temperature": 0.0}
    settings = _fields("--sampling", options.sampling)
    if options.max_new_tokens is not None:
        settings["max_tokens"] = options.max_new_tokens
    if options.temperature is not None:
        settings["temperature"] = options.temperature
    return defaults | protocol.sampling | settings


def _makers_of(options: Options, protocol: Protocol) -> dict[str, Callable[[], Player]]:
    """What makes each player, by label."""
    from vlmgym.core.config import read_prices
    from vlmgym.players.api_settings import ApiSettings
    from vlmgym.players.asked import Endpoint, LocalSettings
    from vlmgym.players.registry import make_player, named_players

    first = protocol.entries[0][0]
    endpoint = Endpoint(
        options.base_url,
        ApiSettings.parse(_fields("--api", options.api)),
        read_prices(options.prices) if options.prices else None,
    )
    make = partial(
        make_player,
        look=first.look,
        style=first.prompt,
        sampling=protocol.sampling,
        local=LocalSettings(**settings_from(LocalSettings, options)),
        endpoint=endpoint,
    )
    words = named_players(_players(options))
    return {label: partial(make, word) for label, word in words.items()}


def _fields(option: str, texts: Sequence[str]) -> dict[str, Any]:
    """``FIELD=VALUE`` words, values as in YAML."""
    from vlmgym.core.config import read_value

    return {text.partition("=")[0]: read_value(option, text) for text in texts}


def _local_models(players: Sequence[str]) -> dict[str, TrainedFor | None]:
    """What the local models among these players were trained for, by the word of the player.

    None where it is not said.
    """
    from vlmgym.train.trained import trained_for

    models = {}
    for player in players:
        label, colon, name = player.partition("local:")
        if colon and (not label or label.endswith("=")):
            models[player] = trained_for(name)
    return models


def _as_trained(players: Sequence[str], game: str) -> Task:
    """How a game is asked where nothing is said.

    As all players were trained, if they are local models and agree; else as usual.
    """
    from vlmgym.episodes.task import Task

    models = _local_models(players).values()
    tasks = [training.task(game) if training else None for training in models]
    settings = set()
    for task in tasks:
        settings.add((task.names.level, task.names.look, task.prompt) if task else None)
    agreed = tasks[0] if len(settings) == 1 and len(tasks) == len(players) else None
    return agreed or Task(game=game)


def _warn_of_the_unknown(models: Mapping[str, TrainedFor | None], tasks: Sequence[Task]) -> None:
    """Say what local models are asked that they were never trained on, before they are loaded."""
    for player, training in models.items():
        warnings = [training.warn(task) for task in tasks] if training else []
        for warning in dict.fromkeys(warnings):
            if warning:
                sys.stderr.write(f"warning: {player}: {warning}\n")


# ---- vlmgym rescore
def rescore_options(parser: Parser) -> None:
    """The options of ``vlmgym rescore``."""
    from vlmgym.evals.settings import Evaluation

    parser.add_argument("folder", type=Path, help="a run, or the folder of one evaluation")
    help = f"{setting_of(Evaluation, 'mode').metadata['doc']}; by default as before"
    setting_option(parser, Evaluation, "mode", default=None, help=help)
    parser.add_argument("--out", type=Path, required=True, help="another folder, laid out alike")
    known_games_option(parser)


@command("rescore", "judge recorded replies anew, without a model", rescore_options)
def rescore_command(options: Options) -> int:
    """Rescore each evaluation of a folder; 1 if nothing of one could be judged."""
    from vlmgym.evals.leaderboards import overview
    from vlmgym.evals.rescoring import rescore

    measured = True
    for trace in traces_in(options.folder):
        folder = trace.parent
        out = options.out / folder.relative_to(options.folder)
        summary = rescore(folder, out, options.mode)
        sys.stdout.write(overview({summary["player"]: [summary]}, [folder.name]))
        if left_out := summary["rescored"]["left_out"]:
            sys.stdout.write(f"  {counted(left_out, 'turn')} left out, {LEFT_OUT}\n")
        measured &= is_measured(summary)
    return 0 if measured else 1
