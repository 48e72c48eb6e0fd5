"""Keep the tables and numbers of README.md and docs/ equal to the committed results of runs.

python -m benchmarks.cli.docs_tables keep RUN_FOLDER NAME   # keep a result with its values
python -m benchmarks.cli.docs_tables tables                 # write all tables again
python -m benchmarks.cli.docs_tables check                  # recompute every number
"""

import argparse
import dataclasses
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from benchmarks.cli.citations import faults
from benchmarks.measure.intervals import mean
from benchmarks.record.results import SCHEMA_VERSION, Metric, Result, parse_result, read_result
from benchmarks.reporting.tables import markdown
from benchmarks.tasks.registry import load_task
from data_prep.errors import InputError
from data_prep.options import PlainParser, run_command
from data_prep.shards.storage import atomic_file, write_json

ROOT = Path(__file__).parents[2]
KEPT = Path(__file__).parents[1] / "results"
DOCUMENTS = (ROOT / "README.md", ROOT / "docs" / "results.md")
# Between these lines of a document stands the table of a kept result, or of one part of it.
TABLE = re.compile(
    r"(<!-- table: (?P<name>[\w-]+)(, (?P<part>[\w. ]+))? -->\n)(?:.*?)(<!-- end of table -->)",
    re.DOTALL,
)
# Values per video or image that are kept; all rows are.
VALUES = (
    *("psnr", "ssim", "smooth_l1", "mse", "energy", "error", "expected_error", "true_spread"),
    *("crps", "crps_span", "at_future", "coverage", "odds_error"),
)
TOLERANCE = 2e-4  # of a mean that is recomputed from values in float32, relative to its size


def main(arguments: list[str]) -> int:
    """Run the command line; gives the exit code."""
    parser = PlainParser(
        prog="python -m benchmarks.cli.docs_tables", description=__doc__, allow_abbrev=False
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(dest="command", required=True)
    keep = commands.add_parser("keep", help="keep the result of a run in benchmarks/results")
    keep.add_argument("run", type=Path, help="folder of the run")
    keep.add_argument("name", help="name of the result in documents, such as next_frame_balls")
    commands.add_parser("tables", help="write the tables of README.md and docs/ again")
    commands.add_parser("check", help="recompute every number of README.md and docs/")

    def command() -> int:
        options = parser.parse_args(arguments)
        if options.command == "check":
            found = list(check())
            print("\n".join(found) or "every number comes from a kept result")
            return 1 if found else 0
        if options.command == "keep":
            keep_result(options.run, options.name)
        for path in DOCUMENTS:
            text = with_tables(path.read_text(encoding="utf-8"))
            with atomic_file(path) as file:
                file.write(text.encode())
        return 0

    return run_command(command)


def keep_result(run: Path, name: str) -> None:
    """Keep everything that a run found, and its values per video or image beside it.

    Raises:
        InputError: the folder holds no finished run, or no values.
    """
    result = read_result(run)
    values = load_task(result.task, result.domain).kept_values(run, result)
    small = {
        key: of.astype(np.float32)
        for key, of in values.items()
        if key.rpartition("/")[2] in VALUES or not result.models
    }
    with atomic_file(KEPT / f"{name}.safetensors") as file:
        file.write(safetensors.numpy.save(small))
    kept = replace(
        result, data=result.data | {"rejected": []}, files={}, schema_version=SCHEMA_VERSION
    )
    write_json(KEPT / f"{name}.json", _rounded(dataclasses.asdict(kept)))


def check() -> Iterator[str]:
    """What in README.md and docs/ does not come from the kept results, a line each.

    Tables and numbers in sentences against the results, and the results against their values. Of a
    result that was kept without values, rows alone are at hand.
    """
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        if with_tables(text) != text:
            yield f"{path.name}: a table is not that of its result; run the command tables"
        for fault in faults(text, kept_result):
            yield f"{path.name}: {fault}"
    for path in sorted(KEPT.glob("*.safetensors")):
        yield from (f"{path.stem}: {fault}" for fault in _wrong_means(path))


def _wrong_means(path: Path) -> Iterator[str]:
    """Means and intervals of a kept result that its values do not give."""
    result, values = kept_result(path.stem), safetensors.numpy.load_file(path)
    checked = 0
    for name, said in load_task(result.task, result.domain).valued(result):
        if name not in values:
            continue
        checked += 1
        found = mean(values[name].astype(np.float64))
        for key in ("mean", "low", "high"):
            a, b = getattr(said, key), getattr(found, key)
            if key == "high" and a == 1.0 and b is not None:
                b = min(b, 1.0)  # where a share ends
            if (a is None) != (b is None) or (a is not None and not _close(a, b, said)):
                yield f"{name}: {key} is {a}, its values give {b}"
    if not checked:
        yield "none of its values belongs to a row"


def _close(a: float, b: float, said: Metric) -> bool:
    return abs(a - b) <= TOLERANCE * max(abs(said.mean), 1e-3)


def with_tables(document: str) -> str:
    """The document with every table made again from the kept results.

    Raises:
        InputError: a table's result is not kept.
    """

    def table(match: re.Match[str]) -> str:
        result = kept_result(match["name"])
        lines = markdown(load_task(result.task, result.domain).headline(result, match["part"]))
        note = result.environment.get("note")
        first = [f"**{note}**", ""] if note else []
        return "\n".join([match[1], *first, *lines, "", _source(result), "", match[5]])

    return TABLE.sub(table, document)


def kept_result(name: str) -> Result:
    """A result of `benchmarks/results`.

    Raises:
        InputError: there is none of this name.
    """
    path = KEPT / f"{name}.json"
    if not path.is_file():
        raise InputError(
            f"{path}: no such result; python -m benchmarks.cli.docs_tables keep RUN {name}"
        )
    return parse_result(path)


def _source(result: Result) -> str:
    environment, seeds = result.environment, len(result.seeds)
    counted = "one training seed" if seeds == 1 else f"{seeds} training seeds"
    return (
        f"`{environment['command']}`, commit {environment['commit'][:7]}, {counted}, "
        f"{environment['cores']} cores of {environment['processor']}."
    )


def _rounded(content: Any) -> Any:
    """JSON values with numbers of six digits, more than any table shows."""
    if isinstance(content, dict):
        return {name: _rounded(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_rounded(value) for value in content]
    return float(f"{content:.6g}") if isinstance(content, float) else content


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
