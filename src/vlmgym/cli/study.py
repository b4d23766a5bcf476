"""Commands that do a whole job: the demo, and the study of the paper's claims."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from vlmgym.cli.parser import Options, Parser, command, whole_from

if TYPE_CHECKING:
    from vlmgym.studies.study import Study


def demo_options(parser: Parser) -> None:
    """The options of ``vlmgym demo``."""
    parser.add_argument("--out", type=Path, default=Path("runs/demo"))
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a few steps and states only: checks the path, not the claim",
    )


@command(
    "demo",
    "the main job on two CPU cores: evaluate, train G0 and G1, compare, report",
    demo_options,
    stopped="stopped; what is done is kept, and the same command goes on from there",
)
def demo_command(options: Options) -> int:
    """Run the stages that are not done."""
    from vlmgym.apps.demo import run_demo

    return run_demo(options.out, quick=options.quick)


def credit_options(parser: Parser) -> None:
    """The options of ``vlmgym credit``."""
    parser.add_argument(
        "file", type=Path, help="forked turns, as benchmarks/turn_credit.py plays them"
    )
    parser.add_argument(
        "--estimator",
        action="append",
        default=[],
        help="module:function of one of your own (may be repeated)",
    )
    parser.add_argument(
        "--continuations", type=whole_from(1, 1_000_000), default=128, help="that are simulated"
    )
    parser.add_argument("--horizon", type=whole_from(0, 1_000_000), default=8, help="their moves")
    parser.add_argument(
        "--draws", type=whole_from(2, 100_000), default=400, help="of continuations"
    )


@command("credit", "how good estimators of the advantage of a turn are", credit_options)
def credit_command(options: Options) -> None:
    """Print the table of all estimators, on forked turns whose true advantages are known."""
    from vlmgym.core.simulation import Simulator
    from vlmgym.studies import turn_estimators as compared
    from vlmgym.studies.turn_tables import read_turns

    tables = read_turns(options.file)
    found = compared.estimators(tables, Simulator(options.continuations, options.horizon))
    found |= {name: compared.estimator_named(name) for name in options.estimator}
    scores = {name: compared.score(tables, one, options.draws) for name, one in found.items()}
    sys.stdout.write(compared.table(scores, compared.true_values(tables)[1]))


def reproduce_options(parser: Parser) -> None:
    """The options of ``vlmgym reproduce``."""
    parser.add_argument(
        "--out",
        type=Path,
        default=None,
        help="folder; runs/STUDY, or runs/STUDY-quick",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one seed, fewer steps, wider intervals",
    )
    parser.add_argument(
        "--study",
        default="claims",
        help="a YAML file, or the name of a bundled study",
    )
    parser.add_argument(
        "--jobs",
        type=whole_from(0, 4096),
        default=0,
        help="processes side by side; 0 = one a core, or as many as a GPU holds",
    )
    parser.add_argument(
        "--hours",
        type=float,
        default=0.0,
        help="stop in order after so long; 0 = go on to the end",
    )
    parser.add_argument(
        "--list",
        action="store_true",
        help="the jobs, what each costs (in answers) and needs",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="JOB",
        help="patterns of jobs: these, and what they need",
    )
    parser.add_argument("--job", default="", help="do one job of the list, and nothing else")
    parser.add_argument(
        "--report",
        action="store_true",
        help="write the report of what there is, and run nothing",
    )


@command(
    "reproduce",
    "the paper's claims, measured with the embedded model; run again to go on",
    reproduce_options,
)
def reproduce_command(options: Options) -> int:
    """Run the jobs that are not done, and print where the report is."""
    from vlmgym.studies.jobs import run_job
    from vlmgym.studies.report import write_study_report
    from vlmgym.studies.runner import run_study
    from vlmgym.studies.study import read_study
    from vlmgym.train.checkpoint import Interrupted

    study = read_study(options.study, options.quick)
    out = options.out or _folder_of(options)
    if options.list:
        _list_jobs(options, out)
        return 0
    try:
        if options.job:
            run_job(study, out, options.job)
            return 0
        if not options.report:
            _say_what_can_be_decided(study, sys.stderr)
            run_study(
                options.study,
                out,
                options.quick,
                options.jobs,
                options.hours,
                options.only,
            )
    except Interrupted as stopped:
        sys.stderr.write(f"vlmgym reproduce: {stopped}\n")
        return 0
    sys.stdout.write(f"{write_study_report(study, out)}\n")
    return 0


def _folder_of(options: Options) -> Path:
    """Where a study goes if nothing else is said: each form of each study has a folder of its
    own.
    """
    name = Path(options.study).stem
    return Path("runs") / (f"{name}-quick" if options.quick else name)


def _say_what_can_be_decided(study: Study, file: TextIO) -> None:
    """A line for each primary claim."""
    from vlmgym.studies.power import decidable

    for claim in decidable(study):
        file.write(f"claim {claim.claim.name}: {claim.text}\n")


def _list_jobs(options: Options, out: Path) -> None:
    """What the claims can decide; a line for each job: name, cost, and what it waits for."""
    from vlmgym.studies.jobs import is_done
    from vlmgym.studies.schedule import jobs_wanted
    from vlmgym.studies.study import read_study

    study = read_study(options.study, options.quick)
    if not options.only:
        _say_what_can_be_decided(study, sys.stdout)
    for job in jobs_wanted(study, options.only):
        state = "done" if is_done(study, out, job.name) else ", ".join(job.needs)
        sys.stdout.write(f"{job.name:<28} {job.cost:>10,.0f}  {state}\n")
