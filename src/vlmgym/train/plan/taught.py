"""How long the teacher's answers are, as counted once."""

from __future__ import annotations

from vlmgym.train.recipe import Recipe


def longest_board(recipe: Recipe) -> int:
    """Tokens of the longest answer of the teacher, about; training counts real ones with the
    tokenizer.
    """
    tokens = []
    for task in recipe.tasks:
        cells = task.game.sample(task.level).symbols[0].size
        tokens.append(64 + TEACHER.get(task.names.game, 75) * cells)
    return max(tokens)


TEACHER = {"2048": 30, "ShisenSho": 75, "ShisenShoPhotos": 150, "Swap": 55}
"""Tokens of the teacher's longest answer to a cell: the longest of 60, of more for photographs, on
the paper's boards.
"""

TAUGHT = {
    "2048": ((1024, 0.0),),
    "ShisenSho": ((8192, 0.0), (4096, 0.002), (2560, 0.009), (2048, 0.013), (1024, 0.03)),
    "ShisenShoPhotos": ((8192, 0.0), (4096, 0.002), (2560, 0.004), (2048, 0.005), (1024, 0.015)),
    "Swap": ((4096, 0.0), (2560, 0.037), (2048, 0.08), (1024, 0.352)),
}
"""Of the 1,000 answers of the teacher that a cold start on the paper's boards teaches: the share
with more tokens than a number (counted with Qwen's vocabulary). The longest have 414, 5,314, 5,776
and 3,244.
"""


def cut_shares(recipe: Recipe, limit: int) -> dict[str, str]:
    """Of the teacher's answers, as counted once (:data:`vlmgym.train.plan.taught.TAUGHT`): the
    share longer than a limit, by game.
    """
    names = [task.names for task in recipe.tasks]
    on_paper_boards = {name.game for name in names if name.level.startswith("paper")}
    cut = {}
    for game in dict.fromkeys(name.game for name in names):
        if game in TAUGHT and game in on_paper_boards:
            share = next((share for tokens, share in TAUGHT[game] if tokens <= limit), 1.0)
            cut[f"taught answers cut, {game}"] = f"<= {share:.1%}" if share else "none"
    return cut
