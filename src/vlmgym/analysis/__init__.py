"""What finished evaluations tell: paired comparisons, a leaderboard, what is misread for what and
where, difficulty curves.

All of it reads folders that :func:`vlmgym.evaluate.evaluate` wrote. Episodes that failed are
missing everywhere, never zero.
"""

from vlmgym.analysis.comparison import Comparison, compare, compare_two
from vlmgym.analysis.confusions import Confusion, confusion, misread
from vlmgym.analysis.curves import Curve, curve, sweep
from vlmgym.analysis.evaluations import Evaluated, headline, load, read_evaluation
from vlmgym.analysis.leaderboards import leaderboard, overview
from vlmgym.analysis.summaries import read_summary

__all__ = [
    "Comparison",
    "Confusion",
    "Curve",
    "Evaluated",
    "compare",
    "compare_two",
    "confusion",
    "curve",
    "headline",
    "leaderboard",
    "load",
    "misread",
    "overview",
    "read_evaluation",
    "read_summary",
    "sweep",
]
