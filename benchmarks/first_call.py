"""What the first call costs: CPU seconds (user + system) of new processes, with an empty cache of
kernels and a filled one.

    python benchmarks/first_call.py [--games 2048 Swap] [--whole]

For each game ``gymnasium.make``, ``reset``, ``step`` and the picture, with nothing kept; then the
wall time from the command to the first picture, with everything kept. ``--whole``: all that
``vlmgym compile`` compiles, too.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time

from vlmgym.games import GAMES

PLAY = (
    "import gymnasium, vlmgym; env = gymnasium.make('vlmgym/{}-v0'); info = env.reset(seed=1)[1]; "
)
PLAY += "env.step(int(info['legal'].argmax())); env.close()"
PICTURE = "import numpy as np, vlmgym; game = vlmgym.get_game('{}'); "
PICTURE += "vlmgym.render(game, game.reset(game.level('normal'), np.zeros(1, np.uint64)))"


def spent(code: str, folder: str) -> tuple[float, float]:
    """CPU and wall seconds of a new process, those of its own workers included."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"NUMBA_CACHE_DIR": folder},
        check=True,
        capture_output=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (
        after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        time.perf_counter() - begin,
    )


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--games", nargs="+", choices=list(GAMES), default=list(GAMES))
    parser.add_argument("--whole", action="store_true")
    options = parser.parse_args()
    sys.stdout.write(
        f"{'game':<18}{'cold: make, reset, step, picture':>34}{'warm: first picture':>22}\n"
    )
    for name in options.games:
        with tempfile.TemporaryDirectory() as folder:
            cold = spent(PLAY.format(name), folder)[0]
            spent(PICTURE.format(name), folder)
            warm = min(spent(PICTURE.format(name), folder)[1] for _ in range(2))
        sys.stdout.write(f"{name:<18}{cold:>30.1f} CPU s{warm:>18.2f} s\n")
        sys.stdout.flush()
    if options.whole:
        with tempfile.TemporaryDirectory() as folder:
            whole, wall = spent("from vlmgym.cli import main; main(['compile'])", folder)
        sys.stdout.write(f"{'vlmgym compile':<18}{whole:>30.1f} CPU s{wall:>18.1f} s\n")


if __name__ == "__main__":
    main()
