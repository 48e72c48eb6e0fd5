"""How the threads of torch wait for one another."""

import os

# As libgomp itself chooses where it knows of more threads than cores; it does not know of other
# programs (docs/throughput.md has measurements).
SPINS = "1000"


def let_threads_sleep() -> None:
    """Have OpenMP's threads sleep soon where they wait, unless the user has decided otherwise.

    To be called before torch is imported. A thread that spins while it waits keeps other programs
    from the core, and theirs keep it from the threads that it waits for.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
