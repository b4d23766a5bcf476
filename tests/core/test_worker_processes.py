"""Work in processes side by side: every result comes, and an exception ends them at once."""

import os
import signal
import time

import pytest

from vlmgym.core.processes import results_of


def sleep(seconds):
    time.sleep(seconds)
    return os.getpid()


def ignores_ctrl_c(piece):
    os.kill(os.getpid(), signal.SIGINT)
    return piece


def is_running(number):
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


def test_every_piece_comes_with_its_result():
    with results_of(abs, range(-9, 0), 2) as results:
        assert sorted(results) == [(piece, -piece) for piece in range(-9, 0)]
    with results_of(abs, []) as results:
        assert list(results) == []


def test_ctrl_c_reaches_the_workers_only_through_their_parent():
    with results_of(ignores_ctrl_c, [1, 2, 3], 2) as results:
        assert sorted(results) == [(1, 1), (2, 2), (3, 3)]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_exception_ends_the_workers_at_once_and_what_is_finished_has_come(error):
    came = []

    def stop_after_one():
        with results_of(sleep, [0.0, 600.0, 601.0, 602.0], 2) as results:
            came.append(next(results))
            came.append(time.monotonic())
            raise error

    with pytest.raises(error):
        stop_after_one()
    (piece, worker), stopped = came
    assert piece == 0.0
    assert time.monotonic() - stopped < 10
    until = time.monotonic() + 10
    while is_running(worker) and time.monotonic() < until:
        time.sleep(0.02)
    assert not is_running(worker)


def test_what_a_piece_raises_is_raised():
    with pytest.raises(TypeError), results_of(abs, ["word"], 1) as results:
        list(results)
