"""One static page from evaluations and training runs: results, paired differences, curves, faults,
turns side by side.

The page is HTML, CSS (``assets/report.css``) and inline SVG; it has no script, loads nothing, and
opens by double click. All text from models and files goes through :func:`vlmgym.report.html.tag`,
which escapes it; the page's own policy forbids scripts and requests.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import vlmgym
from vlmgym.core import ConfigError
from vlmgym.core.files import shown, whole_text, write_atomically
from vlmgym.report.contents import ORDER, Contents, load
from vlmgym.report.differences import differences
from vlmgym.report.faults import faults
from vlmgym.report.headline import headline, what_was_run
from vlmgym.report.html import Html, tag
from vlmgym.report.indices import indices
from vlmgym.report.replay import Replay, replay_data, replay_section
from vlmgym.report.results import results
from vlmgym.report.training import training
from vlmgym.report.turns import turns

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def write_report(
    folder: Path | Sequence[Path],
    out: Path | None = None,
    order: Sequence[str] = ORDER,
    photos: Sequence[str | Path] = (),
    progress: bool = True,
) -> Path:
    """Write one self-contained HTML page about all evaluations and training runs in a folder, or in
    several.

    Args:
        folder: one or several. Each holds ``eval/PLAYER/TASK/`` (``trace.jsonl``, ``summary.json``;
            see :mod:`vlmgym.evals.protocol`), or these files alone; ``RUN/metrics.jsonl`` (see
            :func:`vlmgym.train.run.train`); and ``demo.json`` (any mapping, shown as a table).
            What is missing is left out of the page.
        out: the file to write; by default ``report.html`` in the (first) folder.
        order: names of players and runs, in the order of the page; others follow by name.
        photos: paths of photographs that the boards showed; a path that a trace names is not opened
            by itself, see :func:`vlmgym.episodes.trace_looks.look_of`. Without them the page says
            in place of the pictures what is missing.
        progress: tell on standard error how far it is, where there are many turns, and which boards
            cannot be drawn.

    Returns:
        The path of the page.

    Raises:
        ConfigError: ``out`` is there and is no regular file.
        VlmGymError: the folder holds neither evaluations nor training runs, or a file in it is
            damaged.
    """
    folders = [Path(folder)] if isinstance(folder, str | Path) else [Path(path) for path in folder]
    out = folders[0] / "report.html" if out is None else Path(out)
    if out.exists() and not out.is_file():
        raise ConfigError("out", str(out), "a new file, or a regular one to replace")
    contents = load(folders, order)
    contents.photos = photos
    replay = _replay(contents, progress) if contents.evaluations else Replay("", "", "'none'")
    name = ", ".join(path.resolve().name for path in folders)
    title = f"vlmgym report: {name}"
    page = tag(
        "html",
        _head(title, replay),
        tag("body", tag("main", *_body(contents, name, title, replay))),
        lang="en",
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, whole_text("<!doctype html>\n" + page + "\n"))
    return out


def _replay(contents: Contents, progress: bool) -> Replay:
    """The section of every turn; boards that cannot be drawn are told of if ``progress``."""
    pages = replay_data(contents.evaluations, progress, contents.photos)
    for task in pages["tasks"] if progress else ():
        if task["missing"]:
            task_name = shown(task["name"])
            reason = shown(task["missing"])
            sys.stderr.write(f"warning: the boards of {task_name} are not drawn: {reason}\n")
    return replay_section(pages)


def _head(title: str, replay: Replay) -> Html:
    """The policy, the title and the style of the page."""
    policy = f"{_POLICY}; script-src {replay.script}"
    return tag(
        "head",
        Html('<meta charset="utf-8">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
        tag("title", title),
        tag("style", Html(_style() + replay.style)),
    )


def _body(contents: Contents, name: str, title: str, replay: Replay) -> list[Html]:
    """What is on the page, from the first sentence to the footer; ``name`` is that of the
    folder.
    """
    sections = [
        ("results", "Results on held-out states", results(contents) if contents.games else []),
        ("index", "Between random and the oracle", indices(contents)),
        ("differences", "Paired differences on shared states", differences(contents)),
        ("training", "Training", training(contents)),
        ("faults", "Where the errors come from", faults(contents)),
        ("turns", "Turns side by side", turns(contents)),
        ("episodes", "Every turn", [Html(replay.section)] if replay.section else []),
    ]
    links = []
    chapters = []
    for key, heading, content in sections:
        if content:
            links.append(tag("a", heading, href=f"#{key}"))
            chapters.append(tag("section", tag("h2", heading), *content, id=key))
    written = (
        f"Written by vlmgym {vlmgym.__version__} from the traces and metrics in the folder {name}."
    )
    facts = what_was_run(contents)
    return [
        tag("h1", title),
        *headline(contents),
        *([] if facts is None else [facts]),
        tag("nav", *links),
        *chapters,
        tag("footer", written),
    ]


def _style() -> str:
    path = resources.files("vlmgym.report") / "assets" / "report.css"
    return "\n" + path.read_text(encoding="utf-8")
