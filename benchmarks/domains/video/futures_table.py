"""The table of futures: every model judged by samples of the next frame."""

from benchmarks.domains.video.conditions import ROLLOUT, SAMPLED
from benchmarks.record.metrics import declared
from benchmarks.record.results import Model, Result, Row
from benchmarks.record.selection_metric import quality_of
from benchmarks.reporting.tables import Table, interval, number, rows_under

READING_FUTURES = (
    "Each model gives samples of every next frame; one that knows a single answer is judged by "
    "that. The energy score is the mean distance to the true frame less half the mean distance "
    "between samples: lower is better, and the true distribution has the lowest. In many "
    "dimensions the plain score also rewards noise of the right size that looks like no future, so "
    "where all futures are listed the score on their span decides. A sample is at a listed future "
    "within twice the distance of the true frame, as it was decoded, to its own. `true_samples` "
    "draws from the list: no model can expect a better score. `true_mean` is its mean, the best "
    "single answer by squared error. Spread over error is 1 where the spread of the samples knows "
    "the error of their mean; sharpness is 1 where edges are as steep as in the true frames after "
    "the encoder. In rollouts the energy score is that of as many rollouts from other noise, or of "
    "one where a model feeds back its mean."
)
SCORES = (
    *(
        "energy_score_span",
        "energy_score",
        "energy_score_patches",
        "at_future",
        "coverage",
        "odds_error",
        "psnr",
    ),
    *("psnr_mean", "sharpness", "spread_over_error", "error_rank", "spread_rank"),
)
BRIEF = ("energy_score_span", "energy_score", "at_future", "psnr")
IN_EMBEDDINGS = "smooth_l1"  # stands for PSNR where there is no way back to pixels


def sampled(result: Result) -> bool:
    """Whether futures were judged."""
    return any(rows_under(model, SAMPLED) for model in result.models)


def deciding_score(result: Result) -> str:
    """The energy score that decides: that on the span of the futures, where these are listed."""
    rows = [row for model in result.models for row in rows_under(model, SAMPLED)]
    listed = any("energy_score_span" in row.metrics for row in rows)
    return "energy_score_span" if listed else "energy_score"


def best_sampler(result: Result) -> str:
    """Which model's samples are best, since PSNR rewards the mean of all that may come."""
    score = deciding_score(result)
    entries = [(model, row) for model in result.models for row in rows_under(model, SAMPLED)]
    model, row = min(entries, key=lambda entry: entry[1].metrics[score].mean)
    best = interval(row.metrics[score], declared(score).digits)
    known = [row for model in result.references for row in rows_under(model, SAMPLED)]
    least = min((row.metrics[score].mean for row in known), default=None)
    beside = "" if least is None else f"; samples of the truth have {number(least, 2)}"
    ranked = quality_of(result).title.removesuffix(" dB")
    return (
        f"{ranked} rewards the mean of all that may come. Judged as samples, the lowest "
        f"{declared(score).title} is that of {model.title}, {row.setting.label}: {best}{beside}."
    )


def futures_table(result: Result, brief: bool = False) -> Table:
    """Every setting at which samples were drawn, the best score first.

    A brief one fits a terminal: few scores, and intervals of the first alone.
    """
    judged = [*result.models, *result.references]
    entries = [
        (model, row) for model in judged for row in distinct_rows(rows_under(model, SAMPLED))
    ]
    known = [n for n in (*SCORES, IN_EMBEDDINGS) if any(n in row.metrics for _, row in entries)]
    if "psnr" in known:
        known.remove(IN_EMBEDDINGS)
    names = [name for name in known if name in BRIEF] if brief else known
    entries.sort(key=lambda entry: entry[1].metrics[names[0]].mean)
    columns = []
    for place, name in enumerate(names):
        found, digits = [row.metrics.get(name) for _, row in entries], declared(name).digits
        short = brief and place > 0
        cells = [
            number(f.mean if f else None, digits) if short else interval(f, digits) for f in found
        ]
        columns.append(cells)
    header = ["model", "setting", *map(_title, names), "energy score in rollouts", "passes"]
    rows = [
        [
            *(model.title, _setting(row), *cells, _in_rollouts(model, row, brief)),
            number(row.cost.forward_passes),
        ]
        for (model, row), *cells in zip(entries, *columns, strict=True)
    ]
    return header, rows


def distinct_rows(rows: list[Row]) -> list[Row]:
    """The rows without means of samples: what these are means of has a row of its own."""
    single = [row for row in rows if row.setting.options.get("samples", 1) == 1]
    return single or rows


def _in_rollouts(model: Model, row: Row, brief: bool) -> str:
    """The energy score of rollouts at the same setting, where there were any."""
    same = (r for r in rows_under(model, ROLLOUT) if r.setting == row.setting)
    found = next((r.metrics.get("energy_score") for r in same), None)
    return number(found.mean if found else None, 2) if brief else interval(found, 2)


def _title(name: str) -> str:
    single = name in ("psnr", IN_EMBEDDINGS)
    return declared(name).title + (", one sample" if single else "")


def _setting(row: Row) -> str:
    """The setting, and whether validation selects it where there is a choice."""
    label = row.setting.label
    return f"{label} (selected)" if row.selected and row.selected_share is not None else label
