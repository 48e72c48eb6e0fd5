"""Denoising as the field reports it: PSNR of whole images by sigma, beside published rows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from benchmarks.config import JSON
from benchmarks.domains.image.verdicts import under
from benchmarks.record.results import TRAINED_ELSEWHERE, Model, Result, Row
from benchmarks.reporting.tables import Condition, Table, interval, number, selected_row

QUOTED = Path(__file__).with_name("quoted") / "denoise.yaml"
HEADER = ("SSIM", "setting", "GFLOPs an image")
HOW = (
    "Gaussian noise of sigma/255 on whole images in [0, 1], neither clipped nor rounded; PSNR in "
    "dB of clipped RGB, a mean over images. Models of crops run in tiles of {size} pixels that "
    "share {overlap}, averaged by a smooth window; settings are those that validation selects on "
    "crops in colour with noise of the same sigma. Costs are those of the first image of the set, "
    "all tiles counted. The step that models are told is the nearest one of the schedule."
)
GREY = (
    "Judged in grey: one noise for all channels. Models of three channels see it three times, and "
    "the mean of their channels is judged."
)
NOT_RUN = (
    "Quoted rows were not run here: their models were trained by others, on other photographs, and "
    "their outputs are rounded to 8 bits. They get no verdicts. The sources of each number stand "
    "in benchmarks/domains/image/quoted/denoise.yaml."
)


@dataclass(frozen=True)
class Quoted:
    """A published row: PSNR in dB by sigma."""

    model: str
    psnr: Mapping[float, float]


def yardstick(result: Result) -> Iterator[str | Table]:
    """A table for each set of whole images; nothing where none was judged."""
    sets: JSON = result.data.get("whole_sets") or {}
    if not sets:
        return
    size, overlap = result.config["images"]["size"], result.config["evaluation"]["tile_overlap"]
    yield HOW.format(size=size, overlap=overlap)
    for name, described in sets.items():
        yield f"### {name}, {described['images']} images{', grey' if described['grey'] else ''}"
        if described["grey"]:
            yield GREY
        yield yardstick_of(result, name)
    if any(quoted_rows(name, **described) for name, described in sets.items()):
        yield NOT_RUN


def yardstick_of(result: Result, name: str) -> Table:
    """The table of the whole images of a set, with what is published of it."""
    described = result.data["whole_sets"][name]
    return whole_table(result, name, described["images"], quoted_rows(name, **described))


def whole_table(result: Result, name: str, images: int, quoted: list[Quoted]) -> Table:
    """PSNR of every model on the whole images of a set, best first, and quoted rows below.

    A model that was judged on fewer images than the set has says so, and comes last.
    """
    sigmas = [float(sigma) for sigma in result.config["corruption"]["sigmas"]]
    found = [
        (model, rows)
        for model in result.models
        if any(rows := [selected_row(model, _under(name, sigma)) for sigma in sigmas])
    ]
    found.sort(key=lambda entry: (_judged(entry[1]) < images, -_quality(entry[1])))
    lines = [_line(model, rows, images) for model, rows in found]
    for entry in quoted:
        psnr = [number(entry.psnr.get(sigma), 2) for sigma in sigmas]
        lines.append([f"{entry.model}, quoted", *psnr, *("–" for _ in HEADER)])
    return ["model", *(f"sigma {sigma:g}" for sigma in sigmas), *HEADER], lines


def quoted_rows(name: str, grey: bool, images: int) -> list[Quoted]:
    """What is published of a set that is known by its name, in grey or in colour.

    Nothing where fewer images are judged than the set has.
    """
    content, channels = _quotations(), "grey" if grey else "colour"
    if content["images"].get(name.lower()) != images:
        return []
    return [
        Quoted(row["model"], {float(sigma): value for sigma, value in row["psnr"].items()})
        for row in content["rows"]
        if row["set"] == name.lower() and row["channels"] == channels
    ]


@cache
def _quotations() -> JSON:
    content: JSON = yaml.safe_load(QUOTED.read_text())
    return content


def _under(name: str, sigma: float) -> Condition:
    return under(name, f"sigma {sigma:g}")


def _quality(rows: list[Row | None]) -> float:
    """The mean PSNR of the sigmas at which a model was judged."""
    values = [row.metrics["psnr"].mean for row in rows if row]
    return sum(values) / len(values)


def _judged(rows: list[Row | None]) -> int:
    """The number of images on which a model was judged."""
    return max(row.metrics["psnr"].n for row in rows if row)


def _line(model: Model, rows: list[Row | None], images: int) -> list[str]:
    last = next(row for row in reversed(rows) if row)
    psnr = [interval(row.metrics["psnr"], 2) if row else "–" for row in rows]
    settings = list(dict.fromkeys(row.setting.label for row in rows if row))
    special = ", trained by others" if TRAINED_ELSEWHERE in model.traits else ""
    if (judged := _judged(rows)) < images:
        special += f", on the first {judged} images"
    flops = last.cost.flops
    return [
        f"{model.title}{special}",
        *psnr,
        number(last.metrics["ssim"].mean, 3),
        ", ".join(settings),
        number(None if flops is None else flops / 1e9, 1),
    ]
