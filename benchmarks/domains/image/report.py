"""The report of denoising: a page with its figures, and tables and sentences in the terminal."""

from collections.abc import Mapping
from pathlib import Path

from benchmarks.domains.image.figures import draw_figures
from benchmarks.domains.image.verdicts import (
    contrasted,
    corruption_names,
    swept_corruptions,
    test_sets,
    under,
    verdicts,
)
from benchmarks.domains.image.viewers import make_viewers
from benchmarks.measure.perception import perception_columns
from benchmarks.record.results import Result
from benchmarks.reporting.best_marks import MARKED
from benchmarks.reporting.charts import compute_chart
from benchmarks.reporting.html import Live
from benchmarks.reporting.page import Report, Section, bullets
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
from benchmarks.reporting.verdicts import verdict_table

REFERENCES = ("dit", "direct")
PUBLISHED = (
    "As in arXiv 2507.02092: pooled PSNR and pixel MSE on 0 to 255. `ebt_linear` is the published "
    "energy on this suite's backbone, shown at 1 and 3 steps. Published sampling of a DiT takes a "
    "DDIM pass for every step from the image's own t down, its clean image clipped in each, and "
    "runs again on its own output where it is recursed."
)


def make_report(folder: Path, result: Result) -> Report:
    """The report of a result, its figures drawn into `folder`."""
    sentences, first = verdicts(result), test_sets(result)[0]
    columns, references = _columns(result), _references(result)
    sections = [
        Section("What holds", [bullets(sentences)]),
        Section("Declared contrasts", [verdict_table(result, contrasted(result))]),
        Section("Data", [_description(result), corruption_table(result)]),
    ]
    for name in test_sets(result):
        for corruption in swept_corruptions(result):
            condition = under(name, corruption)
            quality = quality_table(result, condition, columns, references)
            tables: list[str | Table] = [quality, cost_table(result, condition)]
            sections.append(Section(f"{name}, {corruption}", tables))
    for name in test_sets(result):
        sections.append(Section(f"{name}, every corruption: PSNR dB", [psnr_table(result, name)]))
        for reference in references:
            title = f"{name}, every corruption: PSNR difference to `{reference}`, dB"
            sections.append(Section(title, [difference_table(result, name, reference)]))
    for corruption in swept_corruptions(result):
        table = settings_table(result, under(first, corruption), columns[:3])
        sections.append(Section(f"{first}, {corruption}: every setting", [table]))
    corruptions = [(name, under(first, name)) for name in corruption_names(result)]
    sections += [
        Section(
            f"{first}: energy and error", [ENERGY_AND_ERROR, energy_table(result, corruptions)]
        ),
        Section("Published protocol", [PUBLISHED, published_table(result)]),
        Section("Training", [training_table(result)]),
        Section("How this was made", [bullets(_provenance(result))]),
    ]
    figures = draw_figures(folder, result)
    charts = [
        (f"{first}, {corruption}: quality against cost", chart)
        for corruption in swept_corruptions(result)
        if (chart := compute_chart(result, under(first, corruption))) is not None
    ]
    live = Live(charts, make_viewers(folder, result))
    return Report("Image denoising", sections, figures, _shown(result), sentences, live)


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


def _shown(result: Result) -> list[Section]:
    """What stands in the terminal."""
    shown = [Section("Corruptions", [corruption_table(result)])]
    for name in test_sets(result):
        for corruption in swept_corruptions(result)[:2]:
            table = quality_table(
                result, under(name, corruption), _columns(result), _references(result), brief=True
            )
            shown.append(Section(f"{name}, {corruption}", [table]))
        shown.append(Section(f"{name}, every corruption: PSNR dB", [psnr_table(result, name)]))
    return shown


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


def psnr_table(result: Result, name: str) -> Table:
    """PSNR of each model, at its selected setting, under every corruption."""
    corruptions = corruption_names(result)
    rows = []
    for model in result.models:
        here = [selected_row(model, under(name, corruption)) for corruption in corruptions]
        psnr = [row.metrics["psnr"].mean if row else None for row in here]
        rows.append([model.name, *(number(value, 2) for value in psnr)])
    return ["model", *corruptions], rows


def difference_table(result: Result, name: str, reference: str) -> Table:
    """Paired PSNR difference of each model to the reference under every corruption."""
    corruptions = corruption_names(result)
    rows = [
        [
            model.name,
            *(difference(result, model.name, reference, under(name, c)) for c in corruptions),
        ]
        for model in result.models
        if model.name != reference
    ]
    return ["model", *corruptions], rows


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
                pooled = interval(row.metrics["psnr_pooled"], 2)
                mse = number(row.metrics["mse"].mean * 255**2, 1)
                passes = brief_cost_cells(row.cost)[0]
                rows.append([model.name, corruption, row.setting.label, pooled, mse, passes])
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
        f"Levels are steps of the published diffusion, as fractions of 1000. Other corruptions "
        f"are Poisson noise of {kinds['poisson_peak']:g} photons, salt and pepper on "
        f"{kinds['salt_and_pepper']:.0%} of the pixels, JPEG of quality {kinds['jpeg_quality']}, "
        f"and a blur of {kinds['blur']:g} pixels."
    )
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
