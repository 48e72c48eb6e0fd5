"""The report of thinking: what it buys, in words, tables and figures."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.models import Role
from benchmarks.reporting.answers import answers
from benchmarks.reporting.page import Report, Section, bullets
from benchmarks.reporting.results import Model, Result, Row
from benchmarks.reporting.tables import (
    CORRECTED,
    ENERGY_AND_ERROR,
    HONESTY_HEADER,
    Column,
    Condition,
    Table,
    brief_cost_cells,
    cost_table,
    energy_table,
    environment_lines,
    honesty_cells,
    interval,
    number,
    quality_table,
    rows_under,
    scope,
    seeds_text,
    selected_row,
    settings_table,
    training_table,
)
from benchmarks.tasks.thinking.conditions import IN_DISTRIBUTION, VALIDATION
from benchmarks.tasks.thinking.figures import draw_figures

QUALITY: list[Column] = [("PSNR dB", "psnr", 2), ("Smooth-L1", "smooth_l1", 3)]
FUTURE_HEADER = ["energy / expected error", "rank, expected error", "rank, true spread"]
FUTURE = ("calibration_to_expected", "expected_rank", "spread_rank")
CHOICES = ("energy", "random", "mean", "bayes", "oracle")
FOREIGN = ("calibration", "error_rank", "truth_preferred", "auroc", "truth_first")
STOPPING = (
    "Each prediction stops after the first step that moves it by at most a threshold (`update`), "
    "or after the first before which its energy fell by at most one (`energy`). Validation "
    "chooses the threshold. The gain is over a fixed number of steps of the same mean cost; steps "
    "saved are against the fixed number that reaches the same PSNR."
)
VERIFYING = (
    "The energy of candidates that did not come from descending it. An honest energy is half the "
    "squared error to expect of each, so it need not be lowest at the truth: the true conditional "
    "mean has less. `truth has lower energy` compares the two of a prediction, AUROC all videos."
)
CHOOSING = (
    "Half the squared error, on scaled embeddings, of one prediction among N that descend from as "
    "many starts: the one of lowest energy, any one, their mean, the one nearest to the true "
    "conditional mean (`bayes`), the one nearest to the truth (`oracle`)."
)


def under(name: str) -> Condition:
    """A condition as it stands in a result."""
    return {"clips": name}


def judged_sets(result: Result) -> list[str]:
    """The names of the sets that are reported, the one in distribution first."""
    return [name for name in result.data["sets"] if name != VALIDATION]


def make_report(folder: Path, result: Result) -> Report:
    """The report of a result, its figures drawn into `folder`."""
    names, sentences = judged_sets(result), verdicts(result)
    conditions = [(name, under(name)) for name in names]
    sections = [
        Section("What thinking buys here", [bullets(sentences)]),
        Section("Data", [_description(result)]),
    ]
    for name, condition in conditions:
        tables: list[str | Table] = [quality_table(result, condition, QUALITY)]
        if name == IN_DISTRIBUTION:
            tables.append(cost_table(result, condition))
        sections.append(Section(f"Prediction: {name}", tables))
    sections += [
        Section("Energy and error", [ENERGY_AND_ERROR, energy_table(result, conditions)]),
        Section("Along the steps", [steps_table(result)]),
        Section("Stopping early", [STOPPING, stopping_table(result)]),
        Section("Choosing among candidates", [CHOOSING, choice_table(result)]),
        Section("Foreign candidates", [VERIFYING, foreign_table(result)]),
        Section(
            f"Every setting: {IN_DISTRIBUTION}",
            [settings_table(result, under(IN_DISTRIBUTION), QUALITY[:1])],
        ),
        Section("Training", [training_table(result)]),
        Section("How this was made", [bullets(_provenance(result))]),
    ]
    shown = [
        Section(
            f"Prediction: {IN_DISTRIBUTION}",
            [quality_table(result, under(IN_DISTRIBUTION), QUALITY, brief=True)],
        ),
        Section("Energy and error", [energy_table(result, conditions)]),
        Section("Stopping early", [stopping_table(result)]),
        Section("Choosing among candidates", [choice_table(result)]),
    ]
    return Report("Thinking", sections, draw_figures(folder, result), shown, sentences)


def headline(result: Result) -> Table:
    """How well the energy of each model knows the error, at its selected setting, on every set."""
    header = ["model", "clips", "setting", "PSNR dB", *HONESTY_HEADER, *FUTURE_HEADER]
    rows = []
    for model in thinkers(result):
        for name in judged_sets(result):
            row = selected_row(model, under(name))
            if row is not None:
                known = [interval(row.metrics.get(metric), 2) for metric in FUTURE]
                psnr = interval(row.metrics["psnr"], 2)
                cells = [row.setting.label, psnr, *honesty_cells(row), *known]
                rows.append([f"`{model.name}`", name, *cells])
    return header, rows


def steps_table(result: Result) -> Table:
    """Quality, honesty and rank of the energy after each number of steps, in distribution."""
    header = ["model", "setting", "PSNR dB", *HONESTY_HEADER, "rank, last update", *FUTURE_HEADER]
    rows = []
    for model in thinkers(result):
        for row in _fixed_counts(model, IN_DISTRIBUTION):
            others = [interval(row.metrics.get(name), 2) for name in ("update_rank", *FUTURE)]
            psnr = interval(row.metrics["psnr"], 2)
            rows.append([model.name, row.setting.label, psnr, *honesty_cells(row), *others])
    return header, rows


def stopping_table(result: Result) -> Table:
    """Each rule of stopping on each set."""
    header = ["model", "clips", "rule", "threshold", "mean steps", "PSNR dB", "gain dB"]
    rows = []
    for model, name, row in _dynamic(result, "stop"):
        metrics, options = row.metrics, row.setting.options
        threshold = f"{options['threshold']:.3g}"
        cells = [interval(metrics[key], 2) for key in ("mean_steps", "psnr", "gain")]
        saved = metrics.get("steps_saved")
        cells.append(number(saved.mean if saved else None, 2))
        equivalents = brief_cost_cells(row.cost)[1]
        rows.append([model.name, name, options["stop"], threshold, *cells, equivalents])
    return [*header, "steps saved", "equivalents"], rows


def choice_table(result: Result) -> Table:
    """The error of every rule of choice, for each number of candidates, on each set."""
    rows = []
    for model in thinkers(result):
        for name in judged_sets(result):
            found = {
                (row.setting.options["choice"], row.setting.options["candidates"]): row
                for of_model, of_set, row in _dynamic(result, "choice")
                if (of_model.name, of_set) == (model.name, name)
            }
            for count in sorted({count for _, count in found}):
                of_count = [found.get((rule, count)) for rule in CHOICES]
                cells = [interval(row.metrics["error"] if row else None, 2) for row in of_count]
                rows.append([model.name, name, str(count), *cells])
    return ["model", "clips", "candidates", *CHOICES], rows


def foreign_table(result: Result) -> Table:
    """What each energy says of candidates that the model did not make, in distribution."""
    header = ["model", "candidate", "energy", "error", "energy / error", "rank, across samples"]
    rows = []
    for model, name, row in _dynamic(result, "foreign"):
        if name == IN_DISTRIBUTION:
            means = [number(row.metrics[key].mean, 2) for key in ("energy", "error")]
            others = [interval(row.metrics.get(key), 2) for key in FOREIGN]
            rows.append([model.name, row.setting.label, *means, *others])
    return [*header, "truth has lower energy", "AUROC", "truth has lowest energy"], rows


def verdicts(result: Result) -> list[str]:
    """What thinking buys, made from the numbers."""
    sentences = [
        said for name in judged_sets(result) for said in answers(result, name, under(name))
    ]
    first = result.models[0]
    for model, name, row in _dynamic(result, "stop"):
        if model is first:
            sentences.append(_stopping(result, model, name, row))
    for name in judged_sets(result):
        sentences += _choosing(result, first, name)
    sizes = ", ".join(f"{count} ({name})" for name, count in result.data["sets"].items())
    sentences.append(
        f"Intervals are 95 % intervals over videos, {sizes}, and rest on {seeds_text(result)}. "
        f"{CORRECTED}"
    )
    return sentences


def thinkers(result: Result) -> list[Model]:
    """The models that think."""
    return [model for model in result.models if model.role == Role.ENERGY]


def _stopping(result: Result, model: Model, name: str, row: Row) -> str:
    gain, rule = row.metrics["gain"], row.setting.options["stop"]
    worth = "brings nothing sure" if gain.low <= 0 <= gain.high else "is worth"
    if gain.high < 0:
        worth = "costs"
    where = scope(result, name)
    steps = row.metrics["mean_steps"].mean
    return (
        f"{where}: {model.name} that stops by its {rule} thinks {steps:.2f} "
        f"steps on average; against a fixed number of steps of the same cost this {worth}: "
        f"{interval(gain, 2)} dB."
    )


def _choosing(result: Result, first: Model, name: str) -> Sequence[str]:
    """The largest number of candidates, chosen by energy, beside what else could be done."""
    rows = [r for m, n, r in _dynamic(result, "choice") if (m.name, n) == (first.name, name)]
    if not rows:
        return []
    count = max(row.setting.options["candidates"] for row in rows)
    errors = {
        row.setting.options["choice"]: row.metrics["error"].mean
        for row in rows
        if row.setting.options["candidates"] == count
    }
    gap = errors["random"] - errors["oracle"]
    if gap <= 0.01 * errors["random"]:
        return [
            f"{scope(result, name)}: {count} candidates of {first.name} are all but the same, so "
            "there is nothing to choose."
        ]
    closed = (errors["random"] - errors["energy"]) / gap
    return [
        f"{scope(result, name)}: of {count} candidates of {first.name}, the one of lowest energy "
        f"closes {closed:.0%} of the gap between any one and the best one; their mean closes "
        f"{(errors['random'] - errors['mean']) / gap:.0%}."
    ]


def _fixed_counts(model: Model, name: str) -> list[Row]:
    return [row for row in rows_under(model, under(name)) if not row.setting.fixed]


def _dynamic(result: Result, kind: str) -> Iterator[tuple[Model, str, Row]]:
    """Rows of stopping (`stop`) or choice (`choice`), with their model and set."""
    for model in result.models:
        for name in judged_sets(result):
            for row in rows_under(model, under(name)):
                if kind in row.setting.options:
                    yield model, name, row


def _description(result: Result) -> str:
    data, balls = result.data, result.config["balls"]
    rows, columns = data["encoder"]["grid"]
    text = (
        f"Corpus: {data['corpus']}; {data['clips']['train']} training clips. Encoder: "
        f"{data['encoder']['name']}, {rows}x{columns} patches of width {data['encoder']['dim']}."
    )
    if balls["turn_odds"] and data["corpus"].startswith("bouncing balls"):
        text += (
            f" Every {balls['turn_interval']:g} s a ball turns by a right angle, to either side, "
            f"with odds of up to {balls['turn_odds']:g} that its colour tells. All that may come "
            "next is known, and so are the error to expect of any candidate and the true spread."
        )
    return text


def _provenance(result: Result) -> list[str]:
    return [
        *environment_lines(result.environment, result.seeds),
        "A forward-equivalent is one forward pass of `transformer_pp` over a clip. Predictions "
        "that have stopped cost nothing more; the cost of a mean number of steps is computed from "
        "the counted costs of whole ones.",
        "The number of thinking steps is the fewest within 0.02 dB of the best validation PSNR.",
    ]
