"""Keep the tables of README.md and docs/ equal to the committed results of runs.

python -m benchmarks.documents keep RUN_FOLDER NAME   # keep the result of a run, made small
python -m benchmarks.documents tables                 # write all tables again
"""

import argparse
import dataclasses
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.reporting.results import Model, Result, Row, parse_result, read_result
from benchmarks.reporting.tables import HONESTY, Condition, find_comparison, markdown
from benchmarks.tasks.registry import load_task
from data_prep.errors import InputError
from data_prep.options import run_command
from data_prep.shards.storage import atomic_file, write_json

ROOT = Path(__file__).parent.parent
KEPT = Path(__file__).parent / "results"
DOCUMENTS = (ROOT / "README.md", ROOT / "docs" / "results.md")
# Between these lines of a document stands the table of a kept result, or of one part of it.
TABLE = re.compile(
    r"(<!-- table: (?P<name>[\w-]+)(, (?P<part>[\w. ]+))? -->\n)(?:.*?)(<!-- end of table -->)",
    re.DOTALL,
)
FUTURE = ("calibration_to_expected", "expected_rank", "spread_rank")  # of an open future
METRICS = ("psnr", "ssim", "energy", "error", *HONESTY, *FUTURE)


def main(arguments: list[str]) -> int:
    """Run the command line; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.documents", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(dest="command", required=True)
    keep = commands.add_parser("keep", help="keep the result of a run in benchmarks/results")
    keep.add_argument("run", type=Path, help="folder of the run")
    keep.add_argument("name", help="name of the result in documents, such as next_frame_balls")
    commands.add_parser("tables", help="write the tables of README.md and docs/ again")
    options = parser.parse_args(arguments)

    def command() -> int:
        if options.command == "keep":
            kept = dataclasses.asdict(smaller(read_result(options.run)))
            write_json(KEPT / f"{options.name}.json", _rounded(kept))
        for path in DOCUMENTS:
            text = with_tables(path.read_text(encoding="utf-8"))
            with atomic_file(path) as file:
                file.write(text.encode())
        return 0

    return run_command(command)


def smaller(result: Result) -> Result:
    """What of a result stands in documents: selected settings, few conditions and metrics."""
    conditions = load_task(result.task).documented(result)
    return replace(
        result,
        models=[_smaller_model(model, conditions) for model in result.models],
        comparisons=[
            found
            for found in result.comparisons
            if found.condition in conditions
            and found is find_comparison(result, found.a, found.b, found.condition)
        ],
        data=result.data | {"rejected": []},
        files={},
    )


def with_tables(document: str) -> str:
    """The document with every table made again from the kept results.

    Raises:
        InputError: a table's result is not kept.
    """

    def table(match: re.Match[str]) -> str:
        result = kept_result(match["name"])
        lines = markdown(load_task(result.task).headline(result, match["part"]))
        return "\n".join([match[1], *lines, "", _source(result), "", match[5]])

    return TABLE.sub(table, document)


def kept_result(name: str) -> Result:
    """A result of `benchmarks/results`.

    Raises:
        InputError: there is none of this name.
    """
    path = KEPT / f"{name}.json"
    if not path.is_file():
        raise InputError(f"{path}: no such result; python -m benchmarks.documents keep RUN {name}")
    return parse_result(path)


def _source(result: Result) -> str:
    environment, seeds = result.environment, len(result.seeds)
    counted = "one training seed" if seeds == 1 else f"{seeds} training seeds"
    return (
        f"`{environment['command']}`, commit {environment['commit'][:7]}, {counted}, "
        f"{environment['cores']} cores of {environment['processor']}."
    )


def _smaller_model(model: Model, conditions: Sequence[Condition]) -> Model:
    kept = [row for row in model.rows if row.selected and row.condition in conditions]
    return replace(model, rows=[_smaller_row(row) for row in kept])


def _rounded(content: Any) -> Any:
    """JSON values with numbers of six digits, more than any table shows."""
    if isinstance(content, dict):
        return {name: _rounded(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_rounded(value) for value in content]
    return float(f"{content:.6g}") if isinstance(content, float) else content


def _smaller_row(row: Row) -> Row:
    return replace(row, metrics={n: row.metrics[n] for n in METRICS if n in row.metrics})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
