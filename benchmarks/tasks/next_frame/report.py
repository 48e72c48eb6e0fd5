"""The report of next-frame prediction: a page, figures, and tables in the terminal."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.report import (
    COST_HEADER,
    Cells,
    cost_cells,
    environment_lines,
    interval,
    markdown,
    number,
    passes_text,
    seeds_text,
    setting_text,
    training_table,
    write_page,
)
from benchmarks.results import Comparison, Model, Result, Row
from benchmarks.tasks.next_frame.figures import draw_figures

PROTOCOL_TITLES = {"teacher_forced": "next frame, teacher-forced", "rollout": "rollout"}


def write_report(folder: Path, result: Result) -> None:
    """Write `report.md` and the figures beside it."""
    sections = [
        ("Data", [_description(result)]),
        ("What holds", [f"- {sentence}" for sentence in verdicts(result)]),
    ]
    for protocol, title in PROTOCOL_TITLES.items():
        quality, cost = quality_table(result, protocol), cost_table(result, protocol)
        tables = [*markdown(quality), "", *markdown(cost)]
        sections.append((f"{title.capitalize()}, test split", tables))
    sections += [
        ("Thinking steps, test split", markdown(thinking_table(result))),
        ("Training", markdown(training_table(result))),
        ("How this was made", _provenance(result)),
    ]
    write_page(folder, "Next-frame prediction", sections, draw_figures(folder, result))


def print_report(console: Console, result: Result) -> None:
    """The tables and sentences that matter, in the terminal."""
    for protocol, title in PROTOCOL_TITLES.items():
        table = Table(title=f"{title}, test split", title_justify="left")
        for name in ("model", "setting", "PSNR dB", "SSIM", "passes", "equivalents", "latency ms"):
            table.add_column(name, justify="left" if name == "model" else "right")
        for model, row in _ranked(result, protocol):
            table.add_row(
                model.name,
                setting_text(row),
                interval(row.metrics["psnr"], 2),
                f"{row.metrics['ssim'].mean:.3f}",
                passes_text(row.cost),
                number(row.cost.forward_equivalents, 2),
                number(row.cost.latency_ms, 1),
            )
        console.print(table)
    for sentence in verdicts(result):
        console.print(f"• {sentence}", highlight=False)


def verdicts(result: Result) -> list[str]:
    """Who won, by how much and against what cost, in plain words."""
    sentences = []
    for comparison in result.comparisons:
        where = PROTOCOL_TITLES[comparison.protocol].capitalize()
        ranked = {model.name: (model, row) for model, row in _ranked(result, comparison.protocol)}
        a, b = ranked[comparison.a], ranked[comparison.b]
        sentences.append(_sentence(where, comparison, a, b))
    sentences += _floors(result)
    sentences.append(
        f"Intervals are 95 % bootstrap intervals over {result.data['videos']['test']} test videos "
        f"and rest on {seeds_text(result)}."
    )
    return sentences


def quality_table(result: Result, protocol: str) -> tuple[Cells, list[Cells]]:
    """Quality of each model at its selected setting, best PSNR first."""
    header = ["model", "setting", "PSNR dB", "SSIM", "Smooth-L1", "skill"]
    rows = [
        [model.name, setting_text(row)]
        + [interval(row.metrics.get(m), d) for m, d in (("psnr", 2), ("ssim", 3))]
        + [interval(row.metrics.get(m), 3) for m in ("smooth_l1", "skill")]
        for model, row in _ranked(result, protocol)
    ]
    return header, rows


def cost_table(result: Result, protocol: str) -> tuple[Cells, list[Cells]]:
    """Cost of each model at its selected setting, in the order of the quality table."""
    header = ["model", "setting", *COST_HEADER]
    rows = [
        [model.name, setting_text(row), *cost_cells(row.cost)]
        for model, row in _ranked(result, protocol)
    ]
    return header, rows


def thinking_table(result: Result) -> tuple[Cells, list[Cells]]:
    """Every number of thinking steps: quality, cost, and the energy before and after."""
    header = [
        "model",
        "steps",
        "PSNR dB",
        "rollout PSNR dB",
        "energy before",
        "energy after",
        "forward-equivalents",
    ]
    rows = []
    for model in result.models:
        by_setting = {
            (str(row.setting), row.protocol): row for row in model.rows if row.split == "test"
        }
        for row in model.rows:
            if (
                row.split != "test"
                or row.protocol != "teacher_forced"
                or "steps" not in row.setting
            ):
                continue
            steps = row.setting["steps"]
            rollout = by_setting[str(row.setting), "rollout"]
            rows.append(
                [
                    model.name,
                    f"{steps}{' (selected)' if row.selected else ''}",
                    interval(row.metrics["psnr"], 2),
                    interval(rollout.metrics["psnr"], 2),
                    interval(row.metrics.get("energy_0"), 1),
                    interval(row.metrics.get(f"energy_{steps}"), 1),
                    number(row.cost.forward_equivalents, 2),
                ]
            )
    return header, rows


def _ranked(result: Result, protocol: str) -> list[tuple[Model, Row]]:
    rows = [
        (model, row)
        for model in result.models
        for row in model.rows
        if row.split == "test" and row.protocol == protocol and row.selected
    ]
    return sorted(rows, key=lambda pair: -pair[1].metrics["psnr"].mean)


def _sentence(
    where: str, comparison: Comparison, a: tuple[Model, Row], b: tuple[Model, Row]
) -> str:
    """Who won, by how much and at what cost, in plain words."""
    interval = f"[{comparison.low:+.2f}, {comparison.high:+.2f}]"
    compute = _compute_text(a, b)
    if comparison.verdict == "no difference":
        return (
            f"{where}: no difference in PSNR between {comparison.a} and {comparison.b} "
            f"({comparison.difference:+.2f} dB {interval}){compute}."
        )
    word = "beats" if comparison.difference > 0 else "loses to"
    return (
        f"{where}: {comparison.a} {word} {comparison.b} by "
        f"{abs(comparison.difference):.2f} dB ({comparison.difference:+.2f} {interval}){compute}."
    )


def _compute_text(a: tuple[Model, Row], b: tuple[Model, Row]) -> str:
    a_unit, b_unit = a[1].cost.forward_equivalents, b[1].cost.forward_equivalents
    if not (a_unit and b_unit):
        return ""
    text = f", at {a_unit / b_unit:.2f} times its inference FLOPs"
    if a[0].training and b[0].training:
        text += f" and {a[0].training.flops / b[0].training.flops:.2f} times its training FLOPs"
    return text


def _floors(result: Result) -> list[str]:
    """Which trained models stand clear of every floor, intervals not touching."""
    sentences = []
    for protocol, title in PROTOCOL_TITLES.items():
        ranked, where = _ranked(result, protocol), title.capitalize()
        floors = [row.metrics["psnr"].high for model, row in ranked if model.training is None]
        if not floors:
            continue
        trained = [(model.name, row) for model, row in ranked if model.training]
        failing = [name for name, row in trained if row.metrics["psnr"].low <= max(floors)]
        if failing:
            sentences.append(
                f"{where}: not clear of every floor (PSNR intervals touch or lie below): "
                f"{', '.join(failing)}."
            )
        elif trained:
            sentences.append(f"{where}: every trained model is clear of every floor in PSNR.")
    return sentences


def _description(result: Result) -> str:
    data, encoder = result.data, result.data["encoder"]
    rows, columns = encoder["grid"]
    ceiling = data["encoder_ceiling"]
    text = (
        f"Corpus: {data['corpus']}; "
        + ", ".join(
            f"{data['clips'][split]} {split} clips of {data['videos'][split]} videos"
            for split in ("train", "validation", "test")
        )
        + f"; {len(data['rejected'])} videos rejected. Encoder: {encoder['name']}, "
        f"{rows}x{columns} patches of width {encoder['dim']}. Truth: {data['truth']}."
    )
    if ceiling:
        text += (
            " What the encoder itself loses caps every pixel metric at "
            f"{ceiling['psnr']['mean']:.2f} dB PSNR and {ceiling['ssim']['mean']:.3f} SSIM."
        )
    return text


def _provenance(result: Result) -> list[str]:
    return [
        *environment_lines(result.environment, result.seeds),
        "- A forward-equivalent is one forward pass of `transformer_pp` over a clip; costs are "
        "those of one clip (batch 1), a rollout's of all its frames. Latency is a median.",
        "- Number of thinking steps: the fewest within 0.02 dB of the best validation PSNR. "
        "Skill is 1 - MSE / MSE of `copy_last`, on scaled embeddings.",
    ]
