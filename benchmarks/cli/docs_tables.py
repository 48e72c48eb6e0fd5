"""Keep the tables and numbers of README.md and docs/ equal to the committed results of runs.

python -m benchmarks.cli.docs_tables keep RUN_FOLDER NAME   # keep a result with its values
python -m benchmarks.cli.docs_tables tables                 # write all tables again
python -m benchmarks.cli.docs_tables pictures               # draw the pictures again
python -m benchmarks.cli.docs_tables check                  # recompute every number
"""

import argparse
import dataclasses
import functools
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from benchmarks.cli.citations import faults
from benchmarks.cli.recomputing import recomputed_faults
from benchmarks.record.machine_places import without_places
from benchmarks.record.results import SCHEMA_VERSION, Result, parse_result, read_result
from benchmarks.reporting.charts import FOLDER
from benchmarks.reporting.page import write_report
from benchmarks.reporting.tables import markdown
from benchmarks.tasks.registry import load_task
from data_prep.errors import InputError
from data_prep.options import PlainParser, run_command
from data_prep.shards.storage import atomic_file, write_json

ROOT = Path(__file__).parents[2]
KEPT = Path(__file__).parents[1] / "results"
PAGES = ("", "-next-frame", "-denoising", "-thinking", "-scaling", "-probes")
DOCUMENTS = (ROOT / "README.md", *(ROOT / "docs" / f"results{page}.md" for page in PAGES))
# Between these lines of a document stands the table of a kept result, or of one part of it.
TABLE = re.compile(
    r"(<!-- table: (?P<name>[\w-]+)(, (?P<part>[\w. ]+))? -->\n)(?:.*?)(<!-- end of table -->)",
    re.DOTALL,
)
# Pictures in docs/figures, each with its kept result and the figure of that result's report.
PICTURES = {
    "next-frame": ("next_frame", "compute"),
    "verification": ("thinking", "verification"),
}
# Values per video or image that are kept; all rows are.
VALUES = (
    *("psnr", "ssim", "smooth_l1", "mse", "energy", "error", "expected_error", "true_spread"),
    *("energy_score", "energy_score_span", "at_future", "coverage", "odds_error"),
    *("energy_score_patches", "psnr_mean", "sharpness", "spread"),
)


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
    commands.add_parser("pictures", help="draw the pictures of README.md and docs/ again")
    commands.add_parser("check", help="recompute every number of README.md and docs/")

    def command() -> int:
        options = parser.parse_args(arguments)
        if options.command == "check":
            found = list(check())
            print("\n".join(found) or "every number comes from a kept result")
            if older := without_values():
                print(f"kept without values, so taken as they are: {', '.join(older)}")
            return 1 if found else 0
        if options.command == "pictures":
            draw_pictures(ROOT / "docs" / FOLDER)
            return 0
        if options.command == "keep":
            keep_result(options.run, options.name)
        for path in DOCUMENTS:
            text = with_tables(path.read_text(encoding="utf-8"))
            with atomic_file(path) as file:
                file.write(text.encode())
        return 0

    return run_command(command)


def draw_pictures(folder: Path) -> None:
    """Draw the pictures of documents from kept results, into a folder."""
    for picture, (kept, figure) in PICTURES.items():
        result = kept_result(kept)
        with tempfile.TemporaryDirectory() as place:
            run = Path(place)
            write_report(run, load_task(result.task, result.domain).report(run, result))
            with atomic_file(folder / f"{picture}.png") as file:
                file.write((run / FOLDER / f"{figure}.png").read_bytes())


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
    write_json(KEPT / f"{name}.json", _published(dataclasses.asdict(kept)))


def check() -> Iterator[str]:
    """What in README.md and docs/ does not come from the kept results, a line each.

    Tables, numbers and directions in sentences against the results, and the results against their
    values, where these are kept.
    """
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        if with_tables(text) != text:
            yield f"{path.name}: a table is not that of its result; run the command tables"
        for fault in faults(text, kept_result):
            yield f"{path.name}: {fault}"
    for path in sorted(KEPT.glob("*.json")):
        result = kept_result(path.stem)
        inside = load_task(result.task, result.domain).contradictions(result)
        yield from (f"{path.stem}: {fault}" for fault in inside)
    for path in sorted(KEPT.glob("*.safetensors")):
        values = {n: v.astype(np.float64) for n, v in safetensors.numpy.load_file(path).items()}
        found = recomputed_faults(kept_result(path.stem), values)
        yield from (f"{path.stem}: {fault}" for fault in found)


def without_values() -> list[str]:
    """The names of results that were kept before values were; nothing in them is recomputed."""
    kept = sorted(KEPT.glob("*.json"))
    return [path.stem for path in kept if not path.with_suffix(".safetensors").is_file()]


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
    return _parsed(path, path.stat().st_mtime_ns)


@functools.cache
def _parsed(path: Path, _changed: int) -> Result:
    """A kept result as it is since its last change; a document cites it dozens of times."""
    return parse_result(path)


def _source(result: Result) -> str:
    environment, seeds = result.environment, len(result.seeds)
    counted = "one training seed" if seeds == 1 else f"{seeds} training seeds"
    return (
        f"`{environment['command']}`, commit {environment['commit'][:7]}, {counted}, "
        f"{environment['cores']} cores of {environment['processor']}."
    )


def _published(content: Any) -> Any:
    """JSON values without places of a machine, of which the last two parts stay.

    Numbers have eight digits, so that no table rounds another way.
    """
    if isinstance(content, dict):
        return {name: _published(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_published(value) for value in content]
    if isinstance(content, str):
        return without_places(content)
    return float(f"{content:.8g}") if isinstance(content, float) else content


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
