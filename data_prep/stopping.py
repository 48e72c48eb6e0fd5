"""How programs end when they are told to (Ctrl-C, SIGTERM), and when what began them is gone."""

import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any, NoReturn

from data_prep.errors import Terminated

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Seconds from a signal to the end, by force if need be; a scheduler may kill after 15.
GRACE = 12.0
LEAVING = 2.0  # seconds for what libraries do when Python exits after a signal
SHOW_CURSOR = b"\x1b[?25h"
# Set for a process whose standard input is held open by the one that began it.
LIFELINE = "EBT_BENCH_LIFELINE"

_raised: KeyboardInterrupt | None = None


def stop(number: int, _: Any = None) -> None:
    """Handle a signal: raise what it means, once, so that nothing interrupts the cleaning up.

    Raises:
        Terminated: at SIGTERM.
        KeyboardInterrupt: at SIGINT.
    """
    if _raised is None:
        raise stopping(number)


def stopping(number: int) -> KeyboardInterrupt:
    """What a signal means, to be raised; later signals raise nothing."""
    global _raised
    _raised = Terminated() if number == signal.SIGTERM else KeyboardInterrupt()
    return _raised


def exit_code(stopped: KeyboardInterrupt) -> int:
    """The exit code of a program that a signal has stopped, as shells have it."""
    return 128 + (signal.SIGTERM if isinstance(stopped, Terminated) else signal.SIGINT)


@contextmanager
def stoppable() -> Iterator[Callable[[], KeyboardInterrupt | None]]:
    """Within the block, a signal raises, and what hangs then is ended by force after `GRACE`.

    Gives what a signal has raised so far. Signals that are ignored, as `nohup` does, stay so.
    """
    global _raised
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    _raised = None
    watched, woken = socket.socketpair()
    woken.setblocking(False)
    ended = threading.Event()
    before = {s: signal.signal(s, stop) for s in SIGNALS if signal.getsignal(s) != signal.SIG_IGN}
    # Python writes there at once, even where the main thread is busy or waits in a library.
    woken_before = signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_end_by_force, args=(watched, ended), daemon=True).start()
    try:
        yield lambda: _raised
    finally:
        ended.set()
        signal.set_wakeup_fd(woken_before)
        for number, handler in before.items():
            signal.signal(number, handler)
        woken.close()


def _end_by_force(watched: socket.socket, ended: threading.Event) -> None:
    with watched:
        while heard := watched.recv(1):
            if heard[0] in SIGNALS and not ended.wait(GRACE):
                cursor = SHOW_CURSOR if os.isatty(2) else b""
                os.write(2, cursor + b"\ninterrupted; ended by force\n")
                os._exit(128 + heard[0])


def leave(code: int) -> NoReturn:
    """Exit with a code; after a signal, no library may hold that up."""
    if code in [128 + number for number in SIGNALS]:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        timer = threading.Timer(LEAVING, os._exit, [code])
        timer.daemon = True
        timer.start()
    sys.exit(code)


def end_with_parent(clear: Callable[[], None] = lambda: None) -> None:
    """From now on, this process ends when the one that began it is gone, after it called `clear`.

    That is the parent of a multiprocessing process, or who holds the `LIFELINE` of a program.
    """
    parent = multiprocessing.parent_process()
    if parent is None and not os.environ.get(LIFELINE):
        return

    def wait() -> None:
        if parent is not None:
            parent.join()
        else:
            os.read(0, 1)  # there is never anything to read
        clear()
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


@contextmanager
def signals_held() -> Iterator[None]:
    """Within the block, signals wait, for this process and for those that it starts.

    So they meet a new process only when it is ready for them, and calls `release_signals`.
    """
    held: list[int] = []
    handlers = {}
    if threading.current_thread() is threading.main_thread():  # the only one that they interrupt
        handlers = {s: signal.signal(s, lambda number, _: held.append(number)) for s in SIGNALS}
    masked = hasattr(signal, "pthread_sigmask")  # else new processes have to take what comes
    if masked:
        resource_tracker.ensure_running()  # or multiprocessing starts it, and unmasks, too late
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        if masked:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for name, handler in handlers.items():
            signal.signal(name, handler)
        for number in held:
            signal.raise_signal(number)


def release_signals() -> None:
    """Let signals come that `signals_held` has kept from this process."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
