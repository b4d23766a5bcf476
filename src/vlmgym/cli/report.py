"""Commands that read runs: the page, tables and data sets, films."""

from __future__ import annotations

import sys
from pathlib import Path

from vlmgym.cli.parser import (
    Options,
    Parser,
    command,
    known_games_option,
    photos_option,
    whole_from,
)
from vlmgym.cli.paths import see_photos, traces_in
from vlmgym.core.errors import ConfigError


def report_options(parser: Parser) -> None:
    """The options of ``vlmgym report``."""
    parser.add_argument("folder", type=Path, nargs="+", help="runs; several are merged")
    parser.add_argument(
        "--out",
        type=Path,
        default=None,
        help="the page; by default report.html in the first folder",
    )
    photos_option(parser)
    known_games_option(parser)


@command("report", "one static page from evaluations and training runs", report_options)
def report_command(options: Options) -> None:
    """Write the page, and print where it is."""
    from vlmgym.report.page import write_report

    see_photos(options.photos)
    page = write_report(options.folder, options.out, photos=options.photos)
    sys.stdout.write(f"{page}\n")


def export_options(parser: Parser) -> None:
    """The options of ``vlmgym export``."""
    parser.add_argument(
        "kind",
        choices=("turns", "sft", "grpo"),
        help="Parquet of all turns; Hugging Face datasets for TRL",
    )
    parser.add_argument("folder", type=Path, nargs="+", help="runs")
    parser.add_argument(
        "--only",
        default="good",
        help="for sft: good moves, all, or exact (good, and the board seen right)",
    )
    parser.add_argument("--out", type=Path, required=True, help="turns: a file; else a folder")
    photos_option(parser)
    known_games_option(parser)


@command("export", "turns of runs as a table, or as a data set to train on", export_options)
def export_command(options: Options) -> None:
    """Write the table or the data set, and print what became of it."""
    from vlmgym.evals.turns_table import turns_table
    from vlmgym.train.export import export_grpo, export_sft

    see_photos(options.photos)
    traces = [path for folder in options.folder for path in traces_in(folder)]
    if options.kind == "turns":
        written = turns_table(traces, options.out)
    elif options.kind == "sft":
        written = export_sft(traces, options.out, options.only, options.photos)
    else:
        written = export_grpo(traces, options.out, options.photos)
    sys.stdout.write(f"{written}\n")


def video_options(parser: Parser) -> None:
    """The options of ``vlmgym video``."""
    parser.add_argument("folder", type=Path, help="folder of a trace.jsonl")
    parser.add_argument("--episode", type=whole_from(0), default=0, help="its number")
    parser.add_argument("--out", type=Path, required=True, help="file.mp4 or file.gif")
    photos_option(parser)
    known_games_option(parser)


@command("video", "one episode as MP4 or GIF, the reply beside the board", video_options)
def video_command(options: Options) -> None:
    """Write the film, and print where it is."""
    from vlmgym.report.video import video

    see_photos(options.photos)
    traces = traces_in(options.folder)
    if len(traces) > 1:
        folders = ", ".join(str(path.parent) for path in traces[:12])
        more = " ..." if len(traces) > 12 else ""
        allowed = f"the folder of one trace; there are {len(traces)}: {folders}{more}"
        raise ConfigError("folder", str(options.folder), allowed)
    film = video(traces[0], options.episode, options.out, photos=options.photos)
    sys.stdout.write(f"{film}\n")
