"""The report of denoising."""

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.domains.image.figures import draw_figures
from benchmarks.domains.image.verdicts import (
    TRAINED,
    contrasted,
    corruption_names,
    swept_corruptions,
    test_sets,
    to_know,
    told_of,
    under,
)
from benchmarks.domains.image.viewers import make_viewers
from benchmarks.domains.image.yardstick import yardstick
from benchmarks.measure.perception import perception_columns
from benchmarks.record.results import Result
from benchmarks.reporting.best_marks import MARKED
from benchmarks.reporting.charts import Chart
from benchmarks.reporting.compute import compute_chart
from benchmarks.reporting.figures import chosen
from benchmarks.reporting.grid import Cell, Grid, Line, shades
from benchmarks.reporting.report import Part, Report, Section, bullets
from benchmarks.reporting.tables import (
    ENERGY_AND_ERROR,
    SUMMARY_HEADER,
    Column,
    Table,
    brief_cost_cells,
    cost_table,
    difference,
    energy_table,
    environment_lines,
    interval,
    number,
    quality_table,
    ranked,
    rows_under,
    selected_row,
    settings_table,
    summary_cells,
    training_table,
)
from benchmarks.reporting.verdicts import (
    contrasted_models,
    verdict_grid,
    verdict_sections,
)

REFERENCES = ("dit", "direct")
MATRIX = "Every test set and corruption: PSNR dB"
AT_SWEPT = "Every metric and cost, in distribution and out of it"
SHADED = "Darkest is the best model of a column; {faintest:g} dB below it a cell is not shaded."
FAINTEST = 3.0  # dB below the best of a column
PUBLISHED = (
    "As in arXiv 2507.02092: pooled PSNR and pixel MSE on 0 to 255. `ebt_linear` is the published "
    "energy on this suite's backbone, shown at 1 and 3 steps. Published sampling of a DiT takes a "
    "DDIM pass for every step from the image's own t down, its clean image clipped in each, and "
    "runs again on its own output where it is recursed."
)


def make_report(folder: Path, result: Result) -> Report:
    """The report of a result, its figures drawn into `folder`."""
    first, swept = test_sets(result)[0], swept_corruptions(result)
    columns, references = _columns(result), _references(result)
    figures = draw_figures(folder, result)
    images, thinking = make_viewers(folder, result)
    compared = contrasted(result)
    chart = _chart(result, first, TRAINED, "compute", contrasted_models(result))
    opening = [
        *verdict_grid(result, compared, dict.fromkeys(dict(compared), AT_SWEPT)),
        bullets(to_know(result)),
        *chart,
        *images,
    ]
    sections = [
        Section("Whole images, as the field reports them", list(yardstick(result))),
        Section(
            MATRIX, [SHADED.format(faintest=FAINTEST), matrix(result), *chosen(figures, "levels")]
        ),
        Section(AT_SWEPT, list(_at_swept(result, columns, references))),
        *verdict_sections(result, compared),
        Section(
            "Every setting, and what it costs",
            list(_at_every_setting(result, columns[:3])),
        ),
        Section(
            "Thinking", [*thinking, *chosen(figures, *(f"thinking_{_file(c)}" for c in swept))]
        ),
        Section(
            "Energy and error",
            [
                ENERGY_AND_ERROR,
                energy_table(
                    result, [(name, under(first, name)) for name in corruption_names(result)]
                ),
                *chosen(figures, "energy", "risk"),
            ],
        ),
        Section("Images", chosen(figures, *(n for n in figures if n.startswith("pictures")))),
        Section("Published protocol", [PUBLISHED, published_table(result)]),
        Section("Data", [_description(result), corruption_table(result), told_of(result)]),
        Section("Training", [training_table(result), *chosen(figures, "training")]),
        Section("How this was made", [bullets(_provenance(result))]),
    ]
    brief = quality_table(result, under(first, TRAINED), columns[:1], brief=True)
    table = Section(f"{first}, {TRAINED}", [brief])
    return Report("Image denoising", opening, [s for s in sections if s.content], table)


def _at_swept(
    result: Result, columns: Sequence[Column], references: Sequence[str]
) -> Iterator[str | Table]:
    """Every metric at the levels where all settings were judged, and on the first set the costs."""
    for name in test_sets(result):
        for corruption in swept_corruptions(result):
            yield f"### {name}, {corruption}"
            yield quality_table(result, under(name, corruption), columns, references)
            if name == test_sets(result)[0]:
                yield cost_table(result, under(name, corruption))


def _at_every_setting(result: Result, columns: Sequence[Column]) -> Iterator[Part]:
    """Quality and cost of every setting on the first set, at the levels where all were judged."""
    first = test_sets(result)[0]
    for corruption in swept_corruptions(result):
        yield from _chart(result, first, corruption, f"compute_{_file(corruption)}")
        yield settings_table(result, under(first, corruption), columns)


def _chart(
    result: Result,
    images: str,
    corruption: str,
    name: str,
    models: Collection[str] | None = None,
) -> list[Chart]:
    title = f"{images}, {corruption}: quality against compute"
    title += "" if models else ", all trained models"
    chart = compute_chart(result, under(images, corruption), title, name, models)
    return [] if chart is None else [chart]


def _file(corruption: str) -> str:
    """A corruption as part of a file's name."""
    return corruption.replace(" ", "_")


def headline(result: Result, corruption: str) -> Table:
    """PSNR of each model under a corruption, on every test set, with its costs, best first."""
    names, reference = test_sets(result), "direct"
    header = ["model", *names, f"Δ `{reference}`", "setting", *SUMMARY_HEADER]
    rows = []
    for model, row in ranked(result, under(names[0], corruption)):
        found = [selected_row(model, under(name, corruption)) for name in names]
        psnr = [number(other.metrics["psnr"].mean if other else None, 2) for other in found]
        to_reference = difference(result, model.name, reference, under(names[0], corruption))
        cells = [*psnr, to_reference, row.setting.label, *summary_cells(model, row)]
        rows.append([f"`{model.name}`", *cells])
    return header, rows


def corruption_table(result: Result) -> Table:
    """Every corruption: its level, diffusion step and noise."""
    rows = [
        [
            entry["name"],
            number(entry["level"], 2),
            str(entry["step"]),
            number(entry["noise_std"], 3),
        ]
        for entry in result.data["corruptions"]
    ]
    return ["corruption", "level", "step t (told)", "noise std on [-1, 1]"], rows


def matrix(result: Result) -> Grid:
    """PSNR of each model, at its selected setting, on every test set under every corruption."""
    header, columns = ["model"], []
    for place in itertools.product(test_sets(result), corruption_names(result)):
        rows = [selected_row(model, under(*place)) for model in result.models]
        values = [row.metrics["psnr"].mean if row else None for row in rows]
        if not any(rows):
            continue
        header.append(", ".join(place))
        faint = shades(values, higher=True, faintest=FAINTEST)
        columns.append([Cell(number(v, 2), shade=s) for v, s in zip(values, faint, strict=True)])
    lines = [
        Line(model.title, "", cells) for model, *cells in zip(result.models, *columns, strict=True)
    ]
    return Grid(header, lines, sortable=True)


def published_table(result: Result) -> Table:
    """The published models run as published, in the published metrics."""
    first = test_sets(result)[0]
    rows = []
    for corruption in swept_corruptions(result):
        for model in result.models:
            for row in rows_under(model, under(first, corruption)):
                steps = row.setting.options.get("steps")
                if not (row.setting.fixed or (model.name == "ebt_linear" and steps in (1, 3))):
                    continue
                pooled = interval(row.metrics.get("psnr_pooled"), 2)
                error = row.metrics.get("mse")
                mse = number(error.mean * 255**2 if error else None, 1)
                passes = brief_cost_cells(row.cost)[0]
                rows.append([model.title, corruption, row.setting.label, pooled, mse, passes])
    return ["model", "corruption", "setting", "pooled PSNR dB", "pixel MSE", "passes"], rows


def _columns(result: Result) -> list[Column]:
    columns = [("PSNR dB", "psnr", 2), ("SSIM", "ssim", 3), ("pooled PSNR", "psnr_pooled", 2)]
    return columns + perception_columns(result.data.get("perception", {}))


def _references(result: Result) -> list[str]:
    names = [model.name for model in result.models]
    return [reference for reference in REFERENCES if reference in names]


def _description(result: Result) -> str:
    data, encoder = result.data, result.data["encoder"]
    kinds = result.config["corruption"]
    rows, columns = encoder["grid"]
    sets = ", ".join(
        f"{name} ({size['images']} crops of {size['sources']} images{_chosen(size)})"
        for name, size in data["test_sets"].items()
    )
    text = (
        f"Corpus: {data['corpus']}; {data['clips']['train']} training and "
        f"{data['clips']['validation']} validation images. Test sets: {sets}. "
        f"Encoder: {encoder['name']}, {rows}x{columns} patches of width {encoder['dim']}. "
        "Levels are steps of the published diffusion, as fractions of 1000."
    )
    others = {
        "poisson": f"Poisson noise of {kinds['poisson_peak']:g} photons",
        "salt and pepper": f"salt and pepper on {kinds['salt_and_pepper']:.0%} of the pixels",
        "jpeg": f"JPEG of quality {kinds['jpeg_quality']}",
        "blur": f"a blur of {kinds['blur']:g} pixels",
    }
    judged = {entry["name"] for entry in data["corruptions"]}
    if named := [said for name, said in others.items() if name in judged]:
        text += f" Other corruptions: {', '.join(named)}."
    if data["rejected"]:
        reasons = [f"`{entry['source']}` ({entry['reason']})" for entry in data["rejected"][:10]]
        text += f" {len(data['rejected'])} files were skipped, among them {'; '.join(reasons)}."
    return text


def _chosen(size: Mapping[str, int]) -> str:
    if size["images"] == size["images_of_set"]:
        return ""
    return f", chosen at random from {size['images_of_set']} crops"


def _provenance(result: Result) -> list[str]:
    return [
        *environment_lines(result.environment, result.seeds),
        *(f"Skipped: {line}." for line in result.data["skipped"]),
        MARKED,
        "A forward-equivalent is one pass of `direct` over an image; costs are those of one image "
        "(batch 1). The passes and FLOPs of methods that are no networks are not counted.",
        "Numbers of steps and passes, and the width of the blur, are the smallest within 0.02 dB "
        "of the best PSNR on validation images under the same corruption. `x0` is DiT's one-pass "
        "prediction of the clean image.",
        "Told the noise: these models are given the diffusion step of the noise. For noise that is "
        "not diffusion it is the step of equal strength, measured on the images themselves.",
        "`dit` is trained on t < 100 as published, `dit_full_range` on all steps, "
        "`dit_single_level` on t = 99 alone. All DiTs have the EBT's layers, heads and width; "
        "their conditioning on t adds parameters but next to no FLOPs.",
    ]
