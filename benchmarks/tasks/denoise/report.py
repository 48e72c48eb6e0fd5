"""The report of denoising: a page, its figures, and tables and sentences in the terminal."""

from pathlib import Path

from rich.console import Console
from rich.table import Table as TerminalTable

from benchmarks.report import (
    COST_HEADER,
    Table,
    cost_cells,
    environment_lines,
    interval,
    markdown,
    number,
    passes_text,
    setting_text,
    training_table,
    write_page,
)
from benchmarks.results import Model, Result, Row
from benchmarks.tasks.denoise.figures import draw_figures
from benchmarks.tasks.denoise.verdicts import (
    difference,
    ranked,
    swept_corruptions,
    test_sets,
    verdicts,
)


def write_report(folder: Path, result: Result) -> None:
    """Write `report.md` and the figures beside it."""
    sections = [
        ("Data", [_description(result), "", *markdown(corruption_table(result))]),
        ("What holds", [f"- {sentence}" for sentence in verdicts(result)]),
    ]
    for name in test_sets(result):
        for corruption in swept_corruptions(result):
            table = quality_table(result, name, corruption)
            sections.append((f"{name}, {corruption}", markdown(table)))
    for name in test_sets(result):
        sections.append((f"{name}, every corruption: PSNR dB", markdown(psnr_table(result, name))))
        for reference in ("dit", "direct"):
            if any(model.name == reference for model in result.models):
                title = f"{name}, every corruption: PSNR difference to `{reference}`, dB"
                sections.append((title, markdown(difference_table(result, name, reference))))
    first = test_sets(result)[0]
    for corruption in swept_corruptions(result):
        sections.append(
            (
                f"{first}, {corruption}: every number of passes",
                markdown(sweep_table(result, first, corruption)),
            )
        )
    sections += [
        ("Published protocol", [_PUBLISHED, "", *markdown(published_table(result))]),
        ("Training", markdown(training_table(result))),
        ("How this was made", _provenance(result)),
    ]
    write_page(folder, "Image denoising", sections, draw_figures(folder, result))


def print_report(console: Console, result: Result) -> None:
    """The tables and sentences that matter, in the terminal."""
    _print_table(console, "Corruptions", corruption_table(result))
    for name in test_sets(result):
        for corruption in swept_corruptions(result)[:2]:
            _print_table(
                console,
                f"{name}, {corruption}",
                quality_table(result, name, corruption, brief=True),
            )
        _print_table(console, f"{name}, every corruption: PSNR dB", psnr_table(result, name))
    for sentence in verdicts(result):
        console.print(f"• {sentence}", highlight=False)


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


def quality_table(result: Result, name: str, corruption: str, brief: bool = False) -> Table:
    """Each model at its selected setting, best PSNR first."""
    metrics = [("PSNR dB", "psnr", 2), ("pooled PSNR", "psnr_pooled", 2), ("SSIM", "ssim", 3)]
    if any("lpips" in row.metrics for _, row in ranked(result, name, corruption)):
        metrics.append(("LPIPS", "lpips", 3))
    header = ["model", "setting", *(title for title, _, _ in metrics), "Δ dit", "Δ direct"]
    header += ["passes", "equivalents", "latency ms"] if brief else ["told noise", *COST_HEADER]
    rows = []
    for model, row in ranked(result, name, corruption):
        cells = [model.name, _short_setting(row) if brief else setting_text(row)]
        for _, metric, digits in metrics:
            value = row.metrics[metric]
            full = metric == "psnr" or not brief
            cells.append(interval(value, digits) if full else number(value.mean, digits))
        cells += [
            difference(result, model.name, reference, name, corruption, brief)
            for reference in ("dit", "direct")
        ]
        if brief:
            cost = row.cost
            cells += [passes_text(cost), number(cost.forward_equivalents, 1)]
            cells += [number(cost.latency_ms, 1)]
        else:
            cells += ["yes" if model.told_noise else "no", *cost_cells(row.cost)]
        rows.append(cells)
    return header, rows


def psnr_table(result: Result, name: str) -> Table:
    """PSNR of each model, at its selected setting, under every corruption."""
    corruptions = [entry["name"] for entry in result.data["corruptions"]]
    by_corruption = {
        corruption: {model.name: row for model, row in ranked(result, name, corruption)}
        for corruption in corruptions
    }
    rows = []
    for model in result.models:
        here = [by_corruption[corruption].get(model.name) for corruption in corruptions]
        rows.append([model.name, *(number(r.metrics["psnr"].mean, 2) if r else "–" for r in here)])
    return ["model", *corruptions], rows


def difference_table(result: Result, name: str, reference: str) -> Table:
    """Paired PSNR difference of each model to the reference under every corruption."""
    corruptions = [entry["name"] for entry in result.data["corruptions"]]
    rows = [
        [model.name, *(difference(result, model.name, reference, name, c) for c in corruptions)]
        for model in result.models
        if model.name != reference
    ]
    return ["model", *corruptions], rows


def sweep_table(result: Result, name: str, corruption: str) -> Table:
    """Every setting of every model: quality, energy before and after, cost."""
    header = ["model", "setting", "PSNR dB", "SSIM", "energy before", "energy after", *COST_HEADER]
    rows = []
    for model in result.models:
        for row in _rows(model, name, corruption):
            energies = [m for key, m in row.metrics.items() if key.startswith("energy_")]
            ends = (energies[0], energies[-1]) if energies else (None, None)
            rows.append(
                [
                    model.name,
                    f"{setting_text(row)}{' (selected)' if row.selected else ''}",
                    interval(row.metrics["psnr"], 2),
                    number(row.metrics["ssim"].mean, 3),
                    *(interval(end, 1) for end in ends),
                    *cost_cells(row.cost),
                ]
            )
    return header, rows


_PUBLISHED = (
    "As in arXiv 2507.02092: pooled PSNR and pixel MSE on 0 to 255. `ebt_linear` is the published "
    "EBT; `dit` with sampler `published` starts at t = 99 whatever the noise, takes 100 DDIM "
    "passes, and again on its own output where it says 300."
)


def published_table(result: Result) -> Table:
    """The published models run as published, in the published metrics."""
    name = test_sets(result)[0]
    rows = []
    for corruption in swept_corruptions(result):
        for model in result.models:
            for row in _rows(model, name, corruption):
                steps = model.name == "ebt_linear" and row.setting["steps"] in (1, 3)
                if not (steps or row.setting.get("sampler") == "published"):
                    continue
                mse = number(row.metrics["mse"].mean * 255**2, 1)
                pooled = interval(row.metrics["psnr_pooled"], 2)
                rows.append(
                    [model.name, corruption, setting_text(row), pooled, mse, passes_text(row.cost)]
                )
    return ["model", "corruption", "setting", "pooled PSNR dB", "pixel MSE", "passes"], rows


def _rows(model: Model, name: str, corruption: str) -> list[Row]:
    return [row for row in model.rows if (row.split, row.protocol) == (name, corruption)]


def _short_setting(row: Row) -> str:
    """A setting as its values alone: `ddim 10`."""
    return " ".join(str(value) for value in row.setting.values()) or "–"


def _print_table(console: Console, title: str, table: Table) -> None:
    header, rows = table
    drawn = TerminalTable(title=title, title_justify="left")
    for index, name in enumerate(header):
        drawn.add_column(name, justify="right" if index else "left")
    for row in rows:
        drawn.add_row(*row)
    console.print(drawn)


def _description(result: Result) -> str:
    data, encoder = result.data, result.data["encoder"]
    kinds = result.config["corruption"]
    rows, columns = encoder["grid"]
    sets = ", ".join(
        f"{name} ({size['images']} crops of {size['sources']} images)"
        for name, size in data["test_sets"].items()
    )
    text = (
        f"Corpus: {data['corpus']}; {data['clips']['train']} training and "
        f"{data['clips']['validation']} validation images. Test sets: {sets}. "
        f"Encoder: {encoder['name']}, {rows}x{columns} patches of width {encoder['dim']}. "
        f"Levels are steps of the published diffusion, as fractions of 1000; besides, Poisson "
        f"noise of {kinds['poisson_peak']:g} photons, salt and pepper on "
        f"{kinds['salt_and_pepper']:.0%} of the pixels, JPEG of quality {kinds['jpeg_quality']}, "
        f"and a blur of {kinds['blur']:g} pixels."
    )
    if data["rejected"]:
        reasons = [f"`{entry['source']}` ({entry['reason']})" for entry in data["rejected"][:10]]
        text += f" {len(data['rejected'])} files were skipped, among them {'; '.join(reasons)}."
    return text


def _provenance(result: Result) -> list[str]:
    return [
        *environment_lines(result.environment, result.seeds),
        *(f"- Skipped: {line}." for line in result.data["skipped"]),
        "- A forward-equivalent is one pass of `direct` over an image; costs are those of one "
        "image (batch 1). Latency is a median. Costs of methods that are no networks are not "
        "counted in passes or FLOPs.",
        "- Numbers of steps and passes (and the width of the blur): the fewest within 0.02 dB of "
        "the best PSNR on validation images under the same corruption. `x0` is DiT's one-pass "
        "prediction of the clean image.",
        "- Told noise: these models are given the diffusion step of the noise. For noise that is "
        "not diffusion it is the step of equal strength, measured on the images themselves.",
        "- `dit` is trained on t < 100 as published, `dit_full_range` on all steps, "
        "`dit_single_level` on t = 99 alone. All DiTs have the EBT's layers, heads and width; "
        "their conditioning on t adds parameters but next to no FLOPs.",
    ]
