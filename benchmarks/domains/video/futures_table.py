"""The table of futures: every model judged by samples of the next frame."""

from benchmarks.domains.video.conditions import SAMPLED
from benchmarks.record.results import Result, Row
from benchmarks.reporting.best_marks import mark_best
from benchmarks.reporting.tables import Column, Table, interval, number, rows_under

READING_FUTURES = (
    "Each model gives samples of every next frame; one that knows a single answer is judged by "
    "that. The energy score is the mean distance to the true frame less half the mean distance "
    "between samples: lower is better, and the true distribution has the lowest. In many "
    "dimensions the plain score also rewards noise of the right size that looks like no future, so "
    "where all futures are listed the score on their span decides. A sample is at a listed future "
    "within twice the distance of the true frame, as it was decoded, to its own. `true_samples` "
    "draws from the list and `true_mean` is its mean: no samples, and no single answer, can expect "
    "a better score. Spread over error is 1 where the spread of the samples knows the error of "
    "their mean; sharpness is 1 where edges are as "
    "steep as in the true frames after the encoder."
)
SCORES: list[Column] = [
    ("energy score on the futures", "crps_span", 2),
    ("energy score", "crps", 2),
    ("by patch", "crps_patches", 3),
    ("at a listed future", "at_future", 2),
    ("futures covered", "coverage", 2),
    ("error of the odds", "odds_error", 2),
    ("PSNR dB, one sample", "psnr", 2),
    ("PSNR dB, mean of samples", "psnr_mean", 2),
    ("sharpness", "sharpness", 2),
    ("spread / error", "calibration", 2),
    ("rank with the error", "error_rank", 2),
    ("rank with the true spread", "spread_rank", 2),
]
IN_EMBEDDINGS: Column = ("Smooth-L1, one sample", "smooth_l1", 4)
BRIEF = ("crps_span", "crps", "at_future", "psnr")


def sampled(result: Result) -> bool:
    """Whether futures were judged."""
    return any(rows_under(model, SAMPLED) for model in result.models)


def futures_table(result: Result, brief: bool = False) -> Table:
    """Every setting at which samples were drawn, the best score first.

    A brief one fits a terminal: few scores, and intervals of the first alone.
    """
    judged = [*result.models, *result.references]
    entries = [(model, row) for model in judged for row in rows_under(model, SAMPLED)]
    scores = SCORES if "psnr" in entries[0][1].metrics else [*SCORES, IN_EMBEDDINGS]
    known = [one for one in scores if any(one[1] in row.metrics for _, row in entries)]
    columns = [one for one in known if one[1] in BRIEF] if brief else known
    entries.sort(key=lambda entry: entry[1].metrics[columns[0][1]].mean)
    shown = []
    for place, (_, name, digits) in enumerate(columns):
        found = [row.metrics.get(name) for _, row in entries]
        short = brief and place > 0
        cells = [
            number(f.mean if f else None, digits) if short else interval(f, digits) for f in found
        ]
        shown.append(mark_best(cells, found))
    header = ["model", "setting", *(title for title, _, _ in columns), "passes"]
    rows = [
        [model.name, _setting(row), *cells, number(row.cost.forward_passes)]
        for (model, row), *cells in zip(entries, *shown, strict=True)
    ]
    return header, rows


def _setting(row: Row) -> str:
    """The setting, and whether validation selects it where there is a choice."""
    label = row.setting.label
    return f"{label} (selected)" if row.selected and row.selected_share is not None else label
