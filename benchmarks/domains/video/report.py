"""The report of next-frame prediction: a page with its figures, and tables in the terminal."""

from pathlib import Path

from benchmarks.domains.video.animation import write_animation
from benchmarks.domains.video.conditions import FRECHET, ROLLOUT, TEACHER_FORCED
from benchmarks.domains.video.figures import draw_figures
from benchmarks.domains.video.futures_table import READING_FUTURES, futures_table, sampled
from benchmarks.domains.video.viewers import make_viewers
from benchmarks.measure.perception import perception_columns
from benchmarks.record.results import Result
from benchmarks.record.selection_metric import PIXELS, quality_of
from benchmarks.reporting.best_marks import MARKED, mark_best
from benchmarks.reporting.charts import compute_chart
from benchmarks.reporting.html import Live
from benchmarks.reporting.page import Report, Section, bullets
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
    seeds_text,
    selected_row,
    settings_table,
    summary_cells,
    training_table,
)
from benchmarks.reporting.verdicts import (
    answers,
    best_floor,
    few_sources,
    reading,
    verdict_table,
)

PROTOCOLS: list[tuple[str, Condition]] = [
    ("Next frame, teacher-forced", TEACHER_FORCED),
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
    sentences = verdicts(result)
    quality = quality_of(result)
    columns = IN_PIXELS if quality == PIXELS else IN_EMBEDDINGS
    sections = [
        Section("What holds", [bullets(sentences)]),
        Section("Declared contrasts", [verdict_table(result, PROTOCOLS)]),
        Section("Data", [_description(result)]),
    ]
    for title, condition in PROTOCOLS:
        more = _rollout_columns(result) if condition == ROLLOUT else []
        tables = [quality_table(result, condition, columns + more), cost_table(result, condition)]
        sections.append(Section(f"{title}, test split", [*tables]))
    if sampled(result):
        sections.append(Section(FUTURES, [READING_FUTURES, futures_table(result)]))
    beside = [(f"rollout {quality.title}", ROLLOUT)]
    thinking = settings_table(result, TEACHER_FORCED, columns[:1], beside)
    sections += [
        Section("Every setting, test split", [thinking]),
        Section(
            "Energy and error",
            [ENERGY_AND_ERROR, energy_table(result, [(PROTOCOLS[0][0], TEACHER_FORCED)])],
        ),
        Section("Training", [training_table(result)]),
        Section("How this was made", [bullets(_provenance(result))]),
    ]
    shown = [
        Section(f"{title}, test split", [quality_table(result, condition, columns[:2], brief=True)])
        for title, condition in PROTOCOLS
    ]
    if sampled(result):
        shown.append(Section(FUTURES, [futures_table(result, brief=True)]))
    figures = [*draw_figures(folder, result), *write_animation(folder, result)]
    charts = [
        (f"{title}: quality against cost", chart)
        for title, condition in PROTOCOLS
        if (chart := compute_chart(result, condition)) is not None
    ]
    live = Live(charts, make_viewers(folder, result))
    return Report("Next-frame prediction", sections, figures, shown, sentences, live)


def _rollout_columns(result: Result) -> list[Column]:
    """The metrics of perception of rollouts that were computed."""
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


def verdicts(result: Result) -> list[str]:
    """Answers to the declared questions, and what a reader has to know, in plain words."""
    sentences = [said for title, where in PROTOCOLS for said in answers(result, title, where)]
    for title, condition in PROTOCOLS:
        floor = best_floor(result, condition)
        if floor is not None:
            sentences.append(f"{title}: {floor}.")
    count = result.data["videos"]["test"]
    sentences.append(f"Intervals are over {count} test videos and rest on {seeds_text(result)}.")
    return [*sentences, reading(result), *few_sources({"the test split": count}, "videos")]


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
        "The Frechet distance is that between Gaussians of the patch embeddings of true and "
        "predicted frames, its bias at this count removed by a jackknife over videos. FVD is the "
        "plain distance of I3D's features of whole clips, observed frames and rollout: it has the "
        "bias of its count, so compare it at the same count only.",
        *(f"Skipped {line}." for line in (result.data.get("perception") or {}).get("skipped", [])),
    ]
