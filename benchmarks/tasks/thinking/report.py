"""The report of thinking: what it buys."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.domains.samples import IN_DISTRIBUTION
from benchmarks.record.model_names import title_of
from benchmarks.record.results import Result
from benchmarks.reporting.best_marks import MARKED
from benchmarks.reporting.charts import Chart
from benchmarks.reporting.compute import compute_chart
from benchmarks.reporting.figures import chosen
from benchmarks.reporting.report import Picture, Report, Section, bullets
from benchmarks.reporting.tables import (
    ENERGY_AND_ERROR,
    KNOWN_HEADER,
    Column,
    Condition,
    Table,
    cost_table,
    energy_table,
    environment_lines,
    interval,
    known_cells,
    quality_table,
    scope,
    selected_row,
    settings_table,
    training_table,
)
from benchmarks.reporting.thinking import thinking_viewer
from benchmarks.reporting.verdicts import (
    contrasted_models,
    verdict_grid,
    verdict_sections,
    what_to_know,
)
from benchmarks.reporting.viewer import Viewer
from benchmarks.tasks.thinking.facets import FACETS, facets_grid
from benchmarks.tasks.thinking.figures import draw_figures, load_pictures, with_stopping
from benchmarks.tasks.thinking.result import Found, OnSet, Stopping, Verification
from benchmarks.tasks.thinking.surprise import AUROC, OVER_REGRESSOR
from benchmarks.tasks.thinking.tables import (
    FUTURE,
    FUTURE_HEADER,
    choice_table,
    doubt_table,
    foreign_table,
    judged_sets,
    recipe_table,
    shift_table,
    steps_table,
    stopping_table,
    thinkers,
    under,
)
from benchmarks.tasks.thinking.verifying_tables import (
    attack_table,
    cheapest_table,
    kinds_table,
    sampled_choice_table,
    surprise_table,
)
from worldmodel.surprise import DISTANCE, ENERGY

PREDICTION = f"Prediction: {IN_DISTRIBUTION}"
SHIFTED = "Away from training"
QUALITY: list[Column] = [("PSNR dB", "psnr", 2), ("Smooth-L1", "smooth_l1", 3)]
STOPPING = (
    "Each prediction stops after the first step that moves it by at most a threshold (`update`, "
    "which with a fixed step size is the norm of the gradient), or after the first before which "
    "its energy fell by at most one (`energy`). Validation chooses the threshold. The gain is over "
    "a fixed number of steps of the same mean cost; steps saved are against the fixed number that "
    "reaches the same PSNR."
)
VERIFYING = (
    "The energy of candidates that did not come from descending it. Where it is half the "
    "squared error to expect of each, so it need not be lowest at the truth: the true conditional "
    "mean has less. `truth has lower energy` compares the two of a prediction, AUROC all samples."
)
IMPOSSIBLE = (
    "Frames that can and cannot follow the same context, drawn alike: each differs from the true "
    "one only in what its kind says. In denoising the impossible ones are another image and blurs "
    "of the clean one. AUROC is over all impossible and possible ones; the second table has the "
    "share of pairs in which a kind is more surprising than the truth. Every regressor has the "
    "distance to its own prediction for nothing: an energy verifies where it does better than that "
    "of the plain baseline, `transformer_pp` or `direct`."
)
ATTACKED = (
    "The same after the gradient of each measure has changed the impossible frames to lower it, "
    "each pixel within a bound; possible frames stay as they are. Each measure is attacked by its "
    "own gradient, as it costs least."
)
SAMPLED = (
    "Samples of a flow, of which each measure of surprise of each model chooses the least "
    "surprising and keeps half. A sample is at a listed future within twice the distance of the "
    "true frame, as it was decoded; the energy score of the kept ones, on the span of the listed "
    "futures, is lower where they are better samples of what follows. `oracle` chooses the one "
    "nearest to any listed future. `any one` is what drawing alone is worth: one sample, of more "
    "passes, or more samples, which are all kept. Equivalents are those of drawing and judging."
)
CHOOSING = (
    "Half the squared error, on scaled embeddings, of one prediction among N candidates: the one "
    "of lowest energy, any one, their mean, the one nearest to the true conditional mean "
    "(`bayes`), the one nearest to the truth (`oracle`). Candidates are the start, all steps and "
    "three blurs of one prediction, or descend from as many starts, or from one start with "
    "Langevin noise, or are the predictions of all models. `one, thinking "
    "as long` is a single candidate at the same number of steps in all."
)
DOUBTING = (
    "Estimates of the error of a prediction. `spread` is half the variance of candidates, "
    "`ensemble` half the variance between training seeds, for the error of their mean; it needs "
    "several seeds. Mean estimate over mean error is 1 where both agree. `ebt_residual_blind` is "
    "a regressor with the same estimate and the same loss."
)
SHIFTS = (
    "How it goes with growing distance from training. The gain of more is PSNR at the most steps "
    "or passes over that at the fewest."
)
RECIPES = (
    "The gain of longer thinking is the share of the error that falls away from the trained number "
    "of steps to the most; the gain of choice is that of the lowest energy among the most "
    "candidates over any one of them. Negative gains are losses."
)


def make_report(folder: Path, result: Result) -> Report:
    """The report of a result, its figures drawn into `folder`."""
    conditions = [(name, under(name)) for name in judged_sets(result)]
    figures, contrasted = draw_figures(folder, result), _contrasted(result)
    titles = dict(contrasted)
    opening = [
        *([bullets(said)] if (said := _verifying(result)) else []),
        *verdict_grid(result, contrasted, {name: _details(name) for name in titles}),
        bullets(_to_know(result)),
        facets_grid(result),
        *_chart(result, "compute", contrasted_models(result)),
        *_viewers(folder, result),
        *_still(figures, "strip"),
    ]
    sections = [
        Section(
            PREDICTION,
            [
                quality_table(result, under(IN_DISTRIBUTION), QUALITY),
                cost_table(result, under(IN_DISTRIBUTION)),
            ],
        ),
        Section(SHIFTED, [SHIFTS, *_shifts(result), *chosen(figures, "distance")]),
        Section("Along the steps", [steps_table(result), *chosen(figures, "steps")]),
        Section(
            "Energy and error",
            [
                ENERGY_AND_ERROR,
                energy_table(result, conditions),
                *chosen(figures, "energy", "patches", "risk", "map", "landscape"),
            ],
        ),
        Section("What else knows the error", [DOUBTING, *_by_set(result, doubt_table)]),
        Section("Stopping early", [STOPPING, *_stopping_sentences(result), stopping_table(result)]),
        Section(
            "Choosing among candidates",
            [
                CHOOSING,
                bullets(_choosing(result)),
                *_by_set(result, choice_table),
                *chosen(figures, "choice"),
            ],
        ),
        Section("Foreign candidates", [VERIFYING, foreign_table(result)]),
        Section("How to read the facets", [FACETS]),
        *_impossible(result, figures),
        Section("Ways of training", [RECIPES, recipe_table(result)]),
        *verdict_sections(result, contrasted),
        Section(
            "Every setting, and what it costs",
            [
                *_chart(result, "compute_all"),
                settings_table(result, under(IN_DISTRIBUTION), QUALITY[:1]),
            ],
        ),
        Section("Data", [_description(result)]),
        Section("Training", [training_table(result), *chosen(figures, "training")]),
        Section("How this was made", [bullets(_provenance(result))]),
    ]
    brief = quality_table(result, under(IN_DISTRIBUTION), QUALITY[:1], brief=True)
    return Report("Thinking", opening, sections, Section(PREDICTION, [brief]))


def _chart(result: Result, name: str, models: Collection[str] | None = None) -> list[Chart]:
    title = f"Quality against compute, {IN_DISTRIBUTION}" + ("" if models else ", all models")
    chart = compute_chart(with_stopping(result), under(IN_DISTRIBUTION), title, name, models)
    return [] if chart is None else [chart]


def _viewers(folder: Path, result: Result) -> list[Viewer]:
    """Thinking, step by step."""
    pictures = load_pictures(folder, result)
    if "observed" not in pictures:
        return []
    names = [model.name for model in result.models]
    observed, truth = pictures["observed"], pictures["truth"]
    grid = result.data["encoder"]["grid"]
    viewer = thinking_viewer(pictures, names, observed, truth, grid, "sample")
    return [] if viewer is None else [viewer]


def _still(figures: Mapping[str, Picture], name: str) -> list[Picture]:
    """A figure for where nothing moves."""
    return [replace(picture, on_page=False) for picture in chosen(figures, name)]


# What documents show besides how well energies know the error.
PARTS: dict[str, Callable[[Result], Table]] = {
    "facets": lambda result: facets_grid(result).table(),
    "verification": cheapest_table,
    "samples": sampled_choice_table,
}


def headline(result: Result, part: str | None = None) -> Table:
    """How well the energy of each model knows the error, at its selected setting, on a set.

    `part` names that set, or one of PARTS.
    """
    if part in PARTS:
        return PARTS[part](result)
    known = any(name in row.metrics for m in thinkers(result) for row in m.rows for name in FUTURE)
    header = ["model", "setting", "PSNR dB", *KNOWN_HEADER, *(FUTURE_HEADER if known else [])]
    rows = []
    for model in thinkers(result):
        row = selected_row(model, under(part or IN_DISTRIBUTION))
        if row is not None:
            of_future = [interval(row.metrics.get(m), 2) for m in FUTURE] if known else []
            psnr = interval(row.metrics["psnr"], 2)
            cells = [row.setting.label, psnr, *known_cells(row.metrics), *of_future]
            rows.append([f"`{model.name}`", *cells])
    return header, rows


def _to_know(result: Result) -> list[str]:
    """What a reader has to know to read the grid."""
    data = result.data
    trained_on = f"{data['clips']['train']} samples of {data['corpus']}"
    judged_on = {"the test split": data["sets"][IN_DISTRIBUTION]}
    return what_to_know(result, under(IN_DISTRIBUTION), trained_on, judged_on, "samples")


def _details(name: str) -> str:
    """The heading of the section that says more of a set."""
    return PREDICTION if name == IN_DISTRIBUTION else SHIFTED


def _stopping_sentences(result: Result) -> list[str]:
    found = result.found(Found).of(result.models[0].name, IN_DISTRIBUTION)
    return [bullets([_stopping(result, found, one) for one in found.stopping])]


def _contrasted(result: Result) -> list[tuple[str, Condition]]:
    """Where the declared contrasts were judged: name and condition."""
    names = dict.fromkeys(v.compared.condition["samples"] for v in result.verdicts)
    return [(name, under(name)) for name in names or (IN_DISTRIBUTION,)]


def _impossible(result: Result, figures: Mapping[str, Picture]) -> list[Section]:
    """Surprise at what cannot happen, its attack and what it chooses, where the corpus tells."""
    found = result.found(Found)
    sections: list[Section] = []
    if found.surprise:
        tables = [surprise_table(result), kinds_table(result)]
        drawn = chosen(figures, "verification")
        sections.append(Section("What cannot happen", [IMPOSSIBLE, *tables, *drawn]))
    if found.attacks:
        sections.append(Section("Under attack", [ATTACKED, attack_table(result)]))
    if found.sampled:
        section = "Choosing among sampled futures"
        table = sampled_choice_table(result)
        sections.append(Section(section, [SAMPLED, table, *chosen(figures, "sampled_choice")]))
    return sections


def _verifying(result: Result) -> list[str]:
    """How well each energy verifies, beside what regressors have for nothing."""
    measured = result.found(Found).surprise
    energies: dict[str, Verification] = {}
    distances: dict[str, Verification] = {}
    for one in measured:
        if one.measure in (ENERGY, DISTANCE):
            of_measure = energies if one.measure == ENERGY else distances
            of_measure.setdefault(one.model, one)
    beside = "; ".join(
        f"{title_of(name)} {interval(found.overall[AUROC], 2)}"
        for name, found in distances.items()
        if name not in energies
    )
    if not energies:
        return []
    return [
        *(_energy_beside(name, energy, distances[name]) for name, energy in energies.items()),
        "These are AUROCs of telling impossible from possible candidates. The distance to the own "
        f"prediction, which needs no energy, has: {beside or 'nothing here'}.",
    ]


def _energy_beside(name: str, energy: Verification, own: Verification) -> str:
    """Whether an energy verifies better than what every regressor has for nothing."""
    said = f"{title_of(name)}: the AUROC of its energy is {interval(energy.overall[AUROC], 2)}"
    over = energy.overall.get(OVER_REGRESSOR)
    if over is not None:
        low, high = over.ends
        side = "above" if low > 0 else "below" if high < 0 else "not told apart from"
        said += (
            f", {side} that of the plain baseline's distance to its own prediction "
            f"(difference {interval(over, 2)})"
        )
    return f"{said}; that of its own such distance is {interval(own.overall[AUROC], 2)}."


def _shifts(result: Result) -> list[Table]:
    return [shift_table(result, what) for what in result.data["shifts"]]


def _by_set(result: Result, table: Callable[[Result, str], Table]) -> list[str | Table]:
    """A table for each end of a shift, its name before it."""
    found: list[str | Table] = []
    for name in result.data["ends"]:
        found += [f"**{name}**", table(result, name)]
    return found


def _stopping(result: Result, found: OnSet, one: Stopping) -> str:
    return (
        f"{scope(result, found.samples)}: {title_of(found.model)} that stops by its {one.rule} "
        f"thinks {one.steps.mean:.2f} steps on average; the difference to a fixed number of steps "
        f"of the same cost is {interval(one.gain, 2)} dB."
    )


def _choosing(result: Result) -> Sequence[str]:
    """Each source's most candidates, chosen by the first model, beside what else could be done."""
    found = result.found(Found).of(result.models[0].name, IN_DISTRIBUTION)
    sentences = []
    for source in dict.fromkeys(one.source for one in found.choices):
        of_source = [one for one in found.choices if one.source == source]
        count = max(one.candidates for one in of_source)
        errors = {one.rule: one.error.mean for one in of_source if one.candidates == count}
        what = f"of {count} candidates from {source}, judged by {title_of(found.model)},"
        gap = errors["random"] - errors["oracle"]
        if gap <= 0.01 * errors["random"]:
            said = f"{what} all are nearly the same, so there is nothing to choose."
        else:
            closed, mean = ((errors["random"] - errors[r]) / gap for r in ("energy", "mean"))
            said = (
                f"{what} the one of lowest energy closes {closed:.0%} of the gap between any one "
                f"and the best one; their mean closes {mean:.0%}."
            )
        sentences.append(f"{scope(result, found.samples)}: {said}")
    return sentences


def _description(result: Result) -> str:
    data, balls = result.data, result.config.get("balls", {})
    rows, columns = data["encoder"]["grid"]
    text = (
        f"Corpus: {data['corpus']}; {data['clips']['train']} training samples. Encoder: "
        f"{data['encoder']['name']}, {rows}x{columns} patches of width {data['encoder']['dim']}."
    )
    if balls.get("turn_odds") and data["corpus"].startswith("bouncing balls"):
        text += (
            f" Every {balls['turn_interval']:g} s a ball turns by a right angle, to either side, "
            f"with odds of up to {balls['turn_odds']:g} that its colour tells. All that may come "
            "next is known, and so are the error to expect of any candidate and the true spread."
        )
    return text


def _provenance(result: Result) -> list[str]:
    return [
        *environment_lines(result.environment, result.seeds),
        MARKED,
        "A forward-equivalent is one forward pass of the plain baseline, `transformer_pp` or "
        "`direct`. Predictions that have stopped cost nothing more; the cost of a mean number of "
        "steps is computed from the counted costs of whole ones.",
        "The number of thinking steps is the fewest within 0.02 dB of the best validation PSNR.",
    ]
