"""Benchmark Energy-Based Transformers: `python benchmarks/run.py --task next_frame`."""

import sys
from pathlib import Path

# Python puts this script's folder first, where our module names would shadow other packages'.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

if __name__ == "__main__":
    from benchmarks.cli.console import console

    console()
