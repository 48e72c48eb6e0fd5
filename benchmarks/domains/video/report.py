"""The report of next-frame prediction."""

from collections.abc import Collection, Mapping
from pathlib import Path

from benchmarks.domains.video.animation import write_animation
from benchmarks.domains.video.conditions import FRECHET, ROLLOUT, SAMPLED, TEACHER_FORCED
from benchmarks.domains.video.figures import draw_figures
from benchmarks.domains.video.futures_table import (
    READING_FUTURES,
    best_sampler,
    deciding_score,
    futures_table,
    sampled,
)
from benchmarks.domains.video.viewers import make_viewers
from benchmarks.domains.video.yardstick import yardstick
from benchmarks.measure.perception import perception_columns
from benchmarks.record.results import Result
from benchmarks.record.selection_metric import PIXELS, Quality, quality_of
from benchmarks.reporting.best_marks import MARKED, mark_best
from benchmarks.reporting.charts import Chart
from benchmarks.reporting.compute import compute_chart
from benchmarks.reporting.figures import chosen
from benchmarks.reporting.report import Picture, Report, Section, bullets
from benchmarks.reporting.tables import (
    ENERGY_AND_ERROR,
    SUMMARY_HEADER,
    Column,
    Condition,
    Table,
    cost_table,
    energy_table,
    environment_lines,
    interval,
    quality_table,
    ranked,
    selected_row,
    settings_table,
    summary_cells,
    training_table,
)
from benchmarks.reporting.verdicts import (
    contrasted_models,
    verdict_grid,
    verdict_sections,
    what_to_know,
)

PROTOCOLS: list[tuple[str, Condition]] = [
    ("Next frame", TEACHER_FORCED),
    ("Rollout", ROLLOUT),
]
FUTURES = "Futures as samples, test split"
IN_PIXELS: list[Column] = [
    ("PSNR dB", "psnr", 2),
    ("SSIM", "ssim", 3),
    ("Smooth-L1", "smooth_l1", 3),
    ("skill", "skill", 3),
]
IN_EMBEDDINGS: list[Column] = [
    ("Smooth-L1", "smooth_l1", 4),
    ("cosine", "cosine", 3),
    ("MSE", "mse", 4),
    ("skill", "skill", 3),
]


def make_report(folder: Path, result: Result) -> Report:
    """The report of a result, its figures drawn into `folder`."""
    quality = quality_of(result)
    columns = IN_PIXELS if quality == PIXELS else IN_EMBEDDINGS
    figures = draw_figures(folder, result)
    rollouts, thinking = make_viewers(folder, result)
    opening = [
        *verdict_grid(result, PROTOCOLS, {title: title for title, _ in PROTOCOLS}),
        bullets(_to_know(result)),
        *_chart(result, *PROTOCOLS[0], "compute", contrasted_models(result, "dit")),
        *rollouts,
        *write_animation(folder, result),
    ]
    beside = [(f"rollout {quality.title}", ROLLOUT)]
    sections = [
        Section("Moving MNIST, as the field reports it", list(yardstick(result))),
        *(
            Section(
                title,
                [
                    quality_table(result, condition, columns + _more_columns(result, condition)),
                    cost_table(result, condition),
                    *chosen(figures, *(("horizon", "predictions") if condition == ROLLOUT else ())),
                ],
            )
            for title, condition in PROTOCOLS
        ),
        *_futures(result, figures),
        *verdict_sections(result, PROTOCOLS),
        Section(
            "Every setting, and what it costs",
            [
                *_chart(result, *PROTOCOLS[0], "compute_all"),
                *_chart(result, *PROTOCOLS[1], "compute_rollout"),
                settings_table(result, TEACHER_FORCED, columns[:1], beside),
            ],
        ),
        Section("Thinking", [*thinking, *chosen(figures, "thinking")]),
        Section(
            "Energy and error",
            [
                ENERGY_AND_ERROR,
                energy_table(result, PROTOCOLS[:1]),
                *chosen(figures, "energy", "risk"),
            ],
        ),
        Section("Data", [_description(result)]),
        Section("Training", [training_table(result), *chosen(figures, "training")]),
        Section("How this was made", [bullets(_provenance(result))]),
    ]
    brief = Section(
        f"{PROTOCOLS[0][0]}, test split",
        [quality_table(result, TEACHER_FORCED, columns[:1], brief=True)],
    )
    return Report("Next-frame prediction", opening, [s for s in sections if s.content], brief)


def _to_know(result: Result) -> list[str]:
    """What a reader has to know to read the grid."""
    data = result.data
    trained_on = f"{data['clips']['train']} clips of {data['corpus']}"
    judged_on = {"the test split": data["videos"]["test"]}
    said = what_to_know(result, TEACHER_FORCED, trained_on, judged_on, "videos")
    return [*said, best_sampler(result)] if sampled(result) else said


def _chart(
    result: Result,
    protocol: str,
    condition: Condition,
    name: str,
    models: Collection[str] | None = None,
) -> list[Chart]:
    title = f"{protocol}: quality against compute" + ("" if models else ", all trained models")
    chart = compute_chart(result, condition, title, name, models)
    return [] if chart is None else [chart]


def _futures(result: Result, figures: Mapping[str, Picture]) -> list[Section]:
    if not sampled(result):
        return []
    scored = Quality(deciding_score(result), tolerance=0.0, margin=0.0)
    title = f"{scored.title} against compute, all trained models"
    chart = compute_chart(result, SAMPLED, title, "compute_futures", quality=scored)
    charts = [] if chart is None else [chart]
    pictures = chosen(figures, "spread")
    return [Section(FUTURES, [READING_FUTURES, futures_table(result), *charts, *pictures])]


def _more_columns(result: Result, condition: Condition) -> list[Column]:
    """The metrics of perception of rollouts that were computed."""
    if condition != ROLLOUT:
        return []
    columns = perception_columns(result.data.get("perception") or {})
    if any(FRECHET in row.metrics for model in result.models for row in model.rows):
        columns.append(("Frechet, embeddings", FRECHET, 3))
    return columns


def headline(result: Result) -> Table:
    """Quality of each model teacher-forced and in rollouts, with its costs, best first."""
    header = ["model", "next frame", "rollout", "setting", *SUMMARY_HEADER]
    rows, quality = [], quality_of(result)
    entries = ranked(result, TEACHER_FORCED)
    columns = []
    for condition in (TEACHER_FORCED, ROLLOUT):
        judged = [selected_row(model, condition) for model, _ in entries]
        found = [row.metrics[quality.metric] if row else None for row in judged]
        columns.append(mark_best([interval(f, quality.digits) for f in found], found))
    for (model, row), *cells in zip(entries, *columns, strict=True):
        rows.append([f"`{model.name}`", *cells, row.setting.label, *summary_cells(model, row)])
    return header, rows


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
    pixels = quality_of(result) == PIXELS
    near = "0.02 dB of the best PSNR" if pixels else "0.5 % of the best Smooth-L1"
    return [
        *environment_lines(result.environment, result.seeds),
        MARKED,
        "A forward-equivalent is one forward pass of `transformer_pp` over a clip; costs are "
        "those of one clip (batch 1), a rollout's of all its frames.",
        f"The number of thinking steps is the fewest within {near} on validation. "
        "Rollouts are run at that number and at the number used in training. "
        "Skill is 1 - MSE / MSE of `copy_last`, on scaled embeddings.",
        "The Frechet distance is that between Gaussians of the patch embeddings of true frames and "
        "of all rollouts of a model, its bias at this count removed by a jackknife over videos. "
        "FVD is the plain distance of I3D's features of whole clips, observed frames and first "
        "rollout: it has the bias of its count, so compare it at the same count only.",
        *(f"Skipped {line}." for line in (result.data.get("perception") or {}).get("skipped", [])),
    ]
