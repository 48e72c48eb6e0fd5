import os
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parent.parent / "benchmarks" / "run.py"
CODE = f"""
import os, runpy, sys
sys.argv = ["run.py"]
try: runpy.run_path({str(RUN)!r}, run_name="__main__")
except SystemExit: pass
print("SPINS", os.environ.get("GOMP_SPINCOUNT"), "torch" in sys.modules)
"""


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_threads_sleep_soon_unless_the_user_says_otherwise(
    given: dict[str, str], expected: str
) -> None:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("GOMP_", "OMP_WAIT"))}
    run = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, env=inherited | given
    )
    assert f"SPINS {expected} False" in run.stdout
