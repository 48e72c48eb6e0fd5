import functools
import os
import signal
import time
from pathlib import Path

import pytest
from ending import Program

from data_prep.errors import InputError, LostWorkerError
from data_prep.options import run_command
from data_prep.stopping import GRACE
from data_prep.workers import PATIENCE, Workers, say


def square(number: int) -> int:
    say(number)
    time.sleep(0.05 * (number % 3))  # so that they end in another order
    return number**2


def refuse(number: int) -> int:
    if number == 2:
        raise InputError("two: is refused")
    return number


def die(number: int) -> None:
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    flood(None)


class OddError(Exception):
    """Can be pickled, and not be read again."""

    def __init__(self, one: int, two: int):
        super().__init__("odd")


def raise_odd(_: int) -> None:
    raise OddError(1, 2)


def flood(place: Path | None) -> None:
    """Say more than any pipe holds; note in a file whether there was time to save."""
    try:
        while True:
            say("x" * 1000)
            if place is not None:
                place.with_suffix(".begun").touch()
    except KeyboardInterrupt:
        if place is not None:
            time.sleep(0.5)
            place.write_text("saved")
        raise


def hang(place: Path) -> None:
    """Work that does not hear that it is to end."""
    while True:
        try:
            place.with_suffix(".begun").touch()
            time.sleep(60)
        except KeyboardInterrupt:
            continue


def test_results_come_in_order_and_what_is_said_comes_before_them() -> None:
    with Workers(2) as workers:
        assert list(workers.map(refuse, [])) == []
        assert list(workers.map(square, range(5))) == [0, 1, 4, 9, 16]
        jobs = {number: functools.partial(square, number) for number in range(4)}
        said = list(workers.work(jobs))  # the same processes once more
    assert sorted(said) == sorted(
        [(n, False, n) for n in range(4)] + [(n, True, n**2) for n in range(4)]
    )
    for number in range(4):
        assert said.index((number, False, number)) < said.index((number, True, number**2))


def test_an_error_comes_through_with_where_it_was_raised() -> None:
    with pytest.raises(InputError, match="two: is refused") as caught, Workers(2) as workers:
        list(workers.map(refuse, range(4)))
    assert "in refuse" in caught.value.__notes__[0]
    with pytest.raises(RuntimeError, match="OddError: odd"), Workers(1) as workers:
        list(workers.map(raise_odd, [0]))


def test_a_worker_that_is_killed_is_named_and_ends_the_others() -> None:
    began = time.monotonic()
    jobs = {f"job {number}": functools.partial(die, number) for number in range(3)}
    with (
        pytest.raises(LostWorkerError, match=r"the process of job 1 was killed \(SIGKILL\), perh"),
        Workers(3) as workers,
    ):
        list(workers.work(jobs))
    assert time.monotonic() - began < PATIENCE
    assert run_command(functools.partial(fail_with, LostWorkerError("lost"))) == 1


def fail_with(error: Exception) -> int:
    raise error


def read_nothing(work: str, folder: Path) -> int:
    """A command whose workers do `work`."""
    with Workers(2) as workers:
        jobs = {n: functools.partial(globals()[work], folder / str(n)) for n in range(2)}
        for _ in workers.work(jobs):
            pass
    return 0


STOPS = {
    "told": ([signal.SIGTERM], False, 143),
    "twice": ([signal.SIGINT, signal.SIGINT], False, 130),
    "all told twice": ([signal.SIGTERM, signal.SIGTERM], True, 143),
    "all interrupted": ([signal.SIGINT], True, 130),
    "killed": ([signal.SIGKILL], False, -signal.SIGKILL),
}


@pytest.mark.parametrize("stop", STOPS)
def test_workers_that_say_much_save_and_end(stop: str, tmp_path: Path) -> None:
    numbers, group, code = STOPS[stop]
    program = begun("flood", tmp_path)
    program.signal(*numbers, group=group)
    assert program.ended() == code
    if stop != "killed":
        assert program.log.read_text() == "\ninterrupted\n"
        assert len([place for place in tmp_path.glob("?") if place.read_text() == "saved"]) == 2


def test_workers_that_do_not_hear_are_killed(tmp_path: Path) -> None:
    program = begun("hang", tmp_path)
    program.signal(signal.SIGTERM)
    assert program.ended() == 143


@pytest.mark.parametrize("moment", [0.0, 0.02, 0.05, 0.1])
def test_workers_that_are_not_ready_are_not_waited_for(moment: float, tmp_path: Path) -> None:
    program = start("flood", tmp_path)
    program.wait_for(program.workers)
    time.sleep(moment)
    began = time.monotonic()
    program.signal(signal.SIGINT, group=True)
    assert program.ended() == 130
    assert time.monotonic() - began < PATIENCE
    assert program.log.read_text() == "\ninterrupted\n"  # by none of them


START = """
from data_prep import workers
from data_prep.options import run_command
from data_prep.stopping import leave
from test_workers import *
workers.PATIENCE = 3.0
leave(run_command(lambda: read_nothing({work!r}, Path({folder!r}))))
"""


def start(work: str, folder: Path) -> Program:
    return Program(["-c", START.format(work=work, folder=str(folder))], folder / "log")


def begun(work: str, folder: Path) -> Program:
    program = start(work, folder)
    program.wait_for(lambda: len(list(folder.glob("*.begun"))) == 2)
    return program


DEAF = """
import signal, time
from data_prep import stopping
from data_prep.options import run_command
stopping.GRACE = 2.0
def command():
    print("begun", flush=True)
    {body}
stopping.leave(run_command(command))
"""
BODIES = {
    "a library that swallows": "try: time.sleep(60)\n    except KeyboardInterrupt: time.sleep(60)",
    "a library that waits": "import threading; held = threading.Lock(); held.acquire(); "
    "signal.pthread_sigmask(signal.SIG_BLOCK, []); import ctypes; ctypes.CDLL(None).sleep(1000)",
    "a library that translates": "try: time.sleep(60)\n    except KeyboardInterrupt: "
    "raise RuntimeError from None",
    "one that hangs at exit": "import threading; threading.Thread(target=time.sleep, args=[60])"
    ".start(); time.sleep(60)",
}


@pytest.mark.parametrize("kind", BODIES)
def test_a_command_ends_in_time_whatever_a_library_does(kind: str, tmp_path: Path) -> None:
    program = Program(["-c", DEAF.format(body=BODIES[kind])], tmp_path / "log")
    program.wait_for(lambda: "begun" in program.log.read_text())
    time.sleep(0.2)
    program.signal(signal.SIGTERM, signal.SIGTERM)
    assert program.ended() == 143
    assert "Traceback" not in program.log.read_text()
    assert "interrupted" in program.log.read_text()


def test_what_the_user_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert run_command(lambda: signal.raise_signal(signal.SIGINT) or 0) == 0
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert PATIENCE < GRACE < 15
