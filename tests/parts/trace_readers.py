"""All that reads a trace."""

from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import load_trace, read_trace
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.folders import places
from vlmgym.evals.leaderboards import leaderboard
from vlmgym.evals.rescoring import rescore
from vlmgym.evals.settings import Evaluation
from vlmgym.players.simple import Scripted

TASK, HOW = Task(game="2048", level="tiny", look="tiny"), Evaluation(episodes=2, turns=2)


def readers(folder, out):
    """All that reads the folder of an evaluation."""
    from vlmgym.evals.turns_table import turns_table

    trace = folder / "trace.jsonl"
    yield lambda: list(read_trace(trace))
    yield lambda: load_trace(trace)
    yield lambda: places([folder])
    yield lambda: leaderboard([folder], out / "board")
    yield lambda: turns_table([trace], out / "turns.parquet")
    yield lambda: rescore(folder, out / "rescored")
    yield lambda: evaluate(Scripted("nothing"), TASK, HOW, folder, progress=False)
