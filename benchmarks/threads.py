"""How the threads of torch wait for one another."""

import os


def let_threads_sleep() -> None:
    """Have OpenMP's threads sleep soon where they wait, unless the user has decided otherwise.

    To be called before torch is imported. Threads that spin while they wait keep the threads of
    another process from the core on which their own work waits.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "0")
