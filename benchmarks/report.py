"""The report: a page, its figures and a table in the terminal, all made from `results.json`."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.figures import draw_figures
from benchmarks.results import Comparison, Metric, Model, Result, Row

PROTOCOL_TITLES = {"teacher_forced": "next frame, teacher-forced", "rollout": "rollout"}
REPORT = "report.md"

Cells = list[str]


def write_report(folder: Path, result: Result) -> None:
    """Write `report.md` and the figures beside it."""
    figures = draw_figures(folder, result)
    lines = [
        "# Next-frame prediction",
        "",
        _description(result),
        "",
        "## What holds",
        "",
        *[f"- {sentence}" for sentence in verdicts(result)],
        "",
    ]
    for protocol, title in PROTOCOL_TITLES.items():
        lines += [f"## {title.capitalize()}, test split", ""]
        lines += [*_markdown(*quality_table(result, protocol)), ""]
        lines += [*_markdown(*cost_table(result, protocol)), ""]
    lines += ["## Thinking steps, test split", "", *_markdown(*thinking_table(result)), ""]
    lines += ["## Training", "", *_markdown(*training_table(result)), ""]
    lines += ["## Figures", ""]
    for title, path in figures:
        lines += [f"### {title}", "", f"![{title}]({path})", ""]
    lines += ["## How this was made", "", *_provenance(result), ""]
    (folder / REPORT).write_text("\n".join(lines), encoding="utf-8")


def print_report(console: Console, result: Result) -> None:
    """The tables and sentences that matter, in the terminal."""
    for protocol, title in PROTOCOL_TITLES.items():
        table = Table(title=f"{title}, test split", title_justify="left")
        for name in ("model", "setting", "PSNR dB", "SSIM", "passes", "equivalents", "latency ms"):
            table.add_column(name, justify="left" if name == "model" else "right")
        for model, row in _ranked(result, protocol):
            passes = _number(row.cost.forward_passes)
            if row.cost.input_gradient_passes:
                passes += f" + {row.cost.input_gradient_passes} gradient"
            table.add_row(
                model.name,
                _setting(row),
                _interval(row.metrics["psnr"], 2),
                f"{row.metrics['ssim'].mean:.3f}",
                passes,
                _number(row.cost.forward_equivalents, 2),
                _number(row.cost.latency_ms, 1),
            )
        console.print(table)
    for sentence in verdicts(result):
        console.print(f"• {sentence}", highlight=False)


def verdicts(result: Result) -> list[str]:
    """Who won, by how much and against what cost, in plain words."""
    seeds = f"{len(result.seeds)} training seeds" if len(result.seeds) > 1 else "one training seed"
    sentences = []
    for comparison in result.comparisons:
        sentences.append(_sentence(result, comparison))
    sentences += _floors(result)
    sentences.append(
        f"Intervals are 95 % bootstrap intervals over {_test_videos(result)} test videos and rest "
        f"on {seeds}{'; another seed may differ' if len(result.seeds) == 1 else ''}."
    )
    return sentences


def quality_table(result: Result, protocol: str) -> tuple[Cells, list[Cells]]:
    """Quality of each model at its selected setting, best PSNR first."""
    header = ["model", "setting", "PSNR dB", "SSIM", "Smooth-L1", "skill"]
    rows = [
        [model.name, _setting(row)]
        + [_interval(row.metrics.get(m), d) for m, d in (("psnr", 2), ("ssim", 3))]
        + [_interval(row.metrics.get(m), 3) for m in ("smooth_l1", "skill")]
        for model, row in _ranked(result, protocol)
    ]
    return header, rows


def cost_table(result: Result, protocol: str) -> tuple[Cells, list[Cells]]:
    """Cost of each model at its selected setting, in the order of the quality table."""
    header = [
        "model",
        "setting",
        "forward passes",
        "input-gradient passes",
        "forward-equivalents",
        "MFLOPs",
        "latency ms",
        "peak memory MB",
    ]
    rows = []
    for model, row in _ranked(result, protocol):
        cost = row.cost
        rows.append(
            [
                model.name,
                _setting(row),
                _number(cost.forward_passes),
                _number(cost.input_gradient_passes),
                _number(cost.forward_equivalents, 2),
                _number(cost.flops / 1e6, 1),
                _number(cost.latency_ms, 1),
                _number(cost.peak_memory_bytes / 1e6, 1),
            ]
        )
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
                    _interval(row.metrics["psnr"], 2),
                    _interval(rollout.metrics["psnr"], 2),
                    _interval(row.metrics.get("energy_0"), 1),
                    _interval(row.metrics.get(f"energy_{steps}"), 1),
                    _number(row.cost.forward_equivalents, 2),
                ]
            )
    return header, rows


def training_table(result: Result) -> tuple[Cells, list[Cells]]:
    """Parameters and training cost."""
    header = ["model", "parameters", "steps", "training TFLOPs", "seconds"]
    rows = [
        [
            model.name,
            f"{model.parameters:,}",
            _number(model.training.steps),
            _number(model.training.flops / 1e12, 2),
            _number(model.training.seconds, 1),
        ]
        for model in result.models
        if model.training
    ]
    return header, rows


def _ranked(result: Result, protocol: str) -> list[tuple[Model, Row]]:
    rows = [
        (model, row)
        for model in result.models
        for row in model.rows
        if row.split == "test" and row.protocol == protocol and row.selected
    ]
    return sorted(rows, key=lambda pair: -pair[1].metrics["psnr"].mean)


def _sentence(result: Result, comparison: Comparison) -> str:
    selected = {model.name: (model, row) for model, row in _ranked(result, comparison.protocol)}
    (a_model, a), (b_model, b) = selected[comparison.a], selected[comparison.b]
    where = PROTOCOL_TITLES[comparison.protocol].capitalize()
    interval = f"[{comparison.low:+.2f}, {comparison.high:+.2f}]"
    compute = ""
    if b.cost.forward_equivalents and a.cost.forward_equivalents:
        ratio = a.cost.forward_equivalents / b.cost.forward_equivalents
        compute = f", at {ratio:.2f} times its inference FLOPs"
        if a_model.training and b_model.training:
            trained = a_model.training.flops / b_model.training.flops
            compute += f" and {trained:.2f} times its training FLOPs"
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
    environment = result.environment
    packages = ", ".join(f"{name} {version}" for name, version in environment["packages"].items())
    return [
        f"- Commit {environment['commit'] or 'unknown'}.",
        f"- Python {environment['python']}, {packages}.",
        f"- {environment['processor']}, {environment['cores']} cores, "
        f"{environment['threads']} threads, device {environment['device']}.",
        f"- Seeds: {', '.join(map(str, result.seeds))}. "
        "The whole configuration is in `config.yaml`; "
        "`python benchmarks/run.py --config config.yaml` repeats the run.",
        "- A forward-equivalent is one forward pass of `transformer_pp` over a clip; costs are "
        "those of one clip (batch 1), a rollout's of all its frames. Latency is a median.",
        "- Number of thinking steps: the fewest within 0.02 dB of the best validation PSNR. "
        "Skill is 1 - MSE / MSE of `copy_last`, on scaled embeddings.",
    ]


def _test_videos(result: Result) -> int:
    return int(result.data["videos"]["test"])


def _setting(row: Row) -> str:
    return ", ".join(f"{name} {value}" for name, value in row.setting.items()) or "–"


def _interval(metric: Metric | None, digits: int) -> str:
    if metric is None:
        return "–"
    return f"{metric.mean:.{digits}f} [{metric.low:.{digits}f}, {metric.high:.{digits}f}]"


def _number(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _markdown(header: Cells, rows: list[Cells]) -> list[str]:
    rule = ["---"] + ["---:"] * (len(header) - 1)
    return ["| " + " | ".join(cells) + " |" for cells in (header, rule, *rows)]
