"""Command lines that tests share."""


def eval_words(
    out, *more, player="random", game="2048", level="tiny", look="tiny", episodes=2, turns=2
):
    """``vlmgym eval`` of a few short games; of what stands in ``more`` as well, the last counts."""
    words = ["eval", "--player", player, "--game", game, "--level", level, "--look", look]
    return [
        *words,
        "--episodes",
        str(episodes),
        "--turns",
        str(turns),
        *map(str, more),
        "--out",
        str(out),
    ]
