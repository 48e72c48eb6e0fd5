"""The command `ebt-bench`: a run, `list` of what there is to run, or `runs` that there are.

ebt-bench --task next_frame     the same as python benchmarks/run.py --task next_frame
ebt-bench list                  tasks, presets, models, encoders and layouts of corpora
ebt-bench runs [FOLDER]         the runs below a folder (default: runs), and index.html there
"""

import sys
from pathlib import Path


def main(arguments: list[str]) -> int:
    """Run the command; gives the exit code."""
    first, rest = arguments[:1], arguments[1:]
    if first not in (["list"], ["runs"]):
        from benchmarks.cli.command_line import main as run

        return run(arguments)
    from benchmarks.cli.listing import print_all, print_runs
    from data_prep.options import run_command

    if first == ["list"] and not rest:
        return run_command(print_all)
    if first == ["runs"] and len(rest) < 2 and rest[:1] != ["--help"]:
        return run_command(lambda: print_runs(Path(rest[0] if rest else "runs")))
    print(__doc__)
    return 0 if rest == ["--help"] else 2


def console() -> None:
    """Run the command with the arguments of this process, and end it."""
    from data_prep.stopping import leave

    leave(main(sys.argv[1:]))
