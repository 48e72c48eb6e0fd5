import platform
import subprocess
import sys

import pytest

STEPS = """
import resource, torch
from benchmarks.training.malloc import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        kept = [torch.ones(2**20) for _ in range(16)]  # as a step keeps its activations
        del kept
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults())
keep_freed_memory()
faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_a_step_takes_the_memory_that_the_last_one_freed() -> None:
    run = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True, check=True)
    freely, kept = map(int, run.stdout.split())
    assert kept < freely / 10
