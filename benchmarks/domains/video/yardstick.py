"""Moving MNIST as the field reports it: errors summed over a frame, beside published rows."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import yaml

from benchmarks.config import JSON
from benchmarks.domains.video.conditions import ROLLOUT
from benchmarks.domains.video.data import MOVING_MNIST
from benchmarks.record.results import Result
from benchmarks.reporting.tables import Table, interval, number, selected_row

QUOTED = Path(__file__).with_name("quoted") / "moving_mnist.yaml"
# Metric and digits of each column.
COLUMNS = (("MSE", "frame_mse", 2), ("MAE", "frame_mae", 2), ("SSIM", "ssim", 4))
PROTOCOL = (10, 10)  # frames observed and predicted
USUAL = {"frames": 20, "size": 64, "count": 2, "speed": 0.1, "corpus size": 64}
OFFICIAL = 10_000  # sequences
HOW = (
    "Rollouts of {horizon} frames after {context}. MSE and MAE are sums over the pixels of a frame "
    "and means over frames and sequences, of predictions that are not clipped, as in OpenSTL; SSIM "
    "is that of torchmetrics, on clipped frames."
)
NOT_RUN = (
    "Quoted rows were not run here: they are OpenSTL's, trained on 10,000 sequences for the epochs "
    "that stand beside them. They get no verdicts."
)
FEW = (
    " They are of all 10,000 official sequences; the rows above are of the first {judged} of them."
)
OTHER_SEQUENCES = (
    " They are of the official test file; the rows above are of **other sequences**, made by the "
    "same rules (moving_mnist.official names that file)."
)


def yardstick(result: Result) -> Iterator[str | Table]:
    """What Moving MNIST is reported by; nothing of other corpora."""
    made = result.config.get("moving_mnist") or {}
    if result.data["corpus"] != MOVING_MNIST or not made:
        return
    evaluation = result.config["evaluation"]
    context, horizon = evaluation["context_frames"], evaluation["horizon"]
    usual = {**made, "corpus size": result.config["corpus"]["size"]}
    quoted = (context, horizon) == PROTOCOL and {**usual, **USUAL} == usual
    table = yardstick_table(result, quoted)
    if not table[1]:  # nothing was judged in pixels
        return
    yield HOW.format(context=context, horizon=horizon)
    yield table
    if quoted:
        judged = result.data["videos"]["test"]
        official = made["official"] is not None
        few = FEW.format(judged=judged) if judged < OFFICIAL else ""
        yield NOT_RUN + (few if official else OTHER_SEQUENCES)


def yardstick_table(result: Result, quoted: bool) -> Table:
    """Every model, the least squared error first, and published rows below where they compare."""
    selected = [(model, selected_row(model, ROLLOUT)) for model in result.models]
    found = [(model, row) for model, row in selected if row and "frame_mse" in row.metrics]
    found.sort(key=lambda entry: entry[1].metrics["frame_mse"].mean)
    lines = []
    for model, row in found:
        cells = [interval(row.metrics.get(name), digits) for _, name, digits in COLUMNS]
        lines.append([model.title, *cells, row.setting.label])
    for entry in _quotations() if quoted and found else ():
        cells = [number(entry[title.lower()], digits) for title, _, digits in COLUMNS]
        lines.append([f"{entry['model']}, quoted", *cells, f"{entry['epochs']} epochs"])
    return ["model", *(title for title, _, _ in COLUMNS), "setting"], lines


@cache
def _quotations() -> list[JSON]:
    rows: list[JSON] = yaml.safe_load(QUOTED.read_text())["rows"]
    return sorted(rows, key=lambda row: float(row["mse"]))
