"""The report of next-frame prediction: a page with its figures, and tables in the terminal."""

from pathlib import Path

from benchmarks.reporting.answers import answers
from benchmarks.reporting.page import Report, Section, bullets
from benchmarks.reporting.results import Result, Row
from benchmarks.reporting.tables import (
    CORRECTED,
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
from benchmarks.tasks.next_frame.conditions import ROLLOUT, TEACHER_FORCED
from benchmarks.tasks.next_frame.figures import draw_figures

PROTOCOLS: list[tuple[str, Condition]] = [
    ("Next frame, teacher-forced", TEACHER_FORCED),
    ("Rollout", ROLLOUT),
]
QUALITY: list[Column] = [
    ("PSNR dB", "psnr", 2),
    ("SSIM", "ssim", 3),
    ("Smooth-L1", "smooth_l1", 3),
    ("skill", "skill", 3),
]


def make_report(folder: Path, result: Result) -> Report:
    """The report of a result, its figures drawn into `folder`."""
    sentences = verdicts(result)
    sections = [
        Section("What holds", [bullets(sentences)]),
        Section("Data", [_description(result)]),
    ]
    for title, condition in PROTOCOLS:
        tables = [quality_table(result, condition, QUALITY), cost_table(result, condition)]
        sections.append(Section(f"{title}, test split", [*tables]))
    thinking = settings_table(result, TEACHER_FORCED, QUALITY[:1], [("rollout PSNR dB", ROLLOUT)])
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
        Section(f"{title}, test split", [quality_table(result, condition, QUALITY[:2], brief=True)])
        for title, condition in PROTOCOLS
    ]
    figures = draw_figures(folder, result)
    return Report("Next-frame prediction", sections, figures, shown, sentences)


def headline(result: Result) -> Table:
    """PSNR of each model teacher-forced and in rollouts, with its costs, best first."""
    header = ["model", "next frame", "rollout", "setting", *SUMMARY_HEADER]
    rows = []
    for model, row in ranked(result, TEACHER_FORCED):
        rollout = selected_row(model, ROLLOUT)
        psnr = [interval(found.metrics["psnr"] if found else None, 2) for found in (row, rollout)]
        rows.append([f"`{model.name}`", *psnr, row.setting.label, *summary_cells(model, row)])
    return header, rows


def verdicts(result: Result) -> list[str]:
    """What the run was made for, answered in words."""
    sentences = [said for title, where in PROTOCOLS for said in answers(result, title, where)]
    sentences += _floors(result)
    sentences.append(
        f"Intervals are 95 % intervals over {result.data['videos']['test']} test videos "
        f"and rest on {seeds_text(result)}. {CORRECTED}"
    )
    return sentences


def _floors(result: Result) -> list[str]:
    """Which trained models stand clear of every floor, intervals not touching."""
    sentences = []
    for title, condition in PROTOCOLS:
        best = ranked(result, condition)
        floors = [row.metrics["psnr"].high for model, row in best if model.training is None]
        trained: list[tuple[str, Row]] = [(m.name, row) for m, row in best if m.training]
        if not floors or not trained:
            continue
        failing = [name for name, row in trained if row.metrics["psnr"].low <= max(floors)]
        if failing:
            sentences.append(
                f"{title}: not clear of every floor (PSNR intervals touch or lie below): "
                f"{', '.join(failing)}."
            )
        else:
            sentences.append(f"{title}: every trained model is clear of every floor in PSNR.")
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
        "A forward-equivalent is one forward pass of `transformer_pp` over a clip; costs are "
        "those of one clip (batch 1), a rollout's of all its frames.",
        "The number of thinking steps is the fewest within 0.02 dB of the best validation PSNR. "
        "Rollouts are run at that number and at the number used in training. "
        "Skill is 1 - MSE / MSE of `copy_last`, on scaled embeddings.",
    ]
