"""What a denoising result says in words, and the look-ups that its tables share."""

from collections import Counter

from benchmarks.reporting.answers import answers
from benchmarks.reporting.results import Comparison, Model, Result, Row
from benchmarks.reporting.tables import (
    CORRECTED,
    Condition,
    difference_text,
    find_comparison,
    ranked,
    rows_under,
    scope,
    seeds_text,
    selected_row,
)
from benchmarks.tasks.denoise.conditions import TOLD

TRAINED = "level 0.1"
# Floors that are worth a word; the others lie below them.
SPOKEN_FLOORS = ("bm3d", "non_local_means", "gaussian_blur")
ONE_PASS, MANY_PASSES = 1, 100  # settings of a DiT that are named whatever is selected


def under(images: str, corruption: str) -> Condition:
    """A condition as it stands in a result."""
    return {"images": images, "corruption": corruption}


def test_sets(result: Result) -> list[str]:
    """The names of the test sets; the first is the training corpus's own."""
    return list(result.data["test_sets"])


def corruption_names(result: Result) -> list[str]:
    """The names of all corruptions."""
    return [entry["name"] for entry in result.data["corruptions"]]


def swept_corruptions(result: Result) -> list[str]:
    """The corruptions under which every setting was evaluated."""
    swept = result.config["corruption"]["swept_levels"]
    return [entry["name"] for entry in result.data["corruptions"] if entry["level"] in swept]


def verdicts(result: Result) -> list[str]:
    """Who won, by how much and at what cost, in plain words."""
    first, name = result.models[0].name, test_sets(result)[0]
    sentences = []
    for corruption in swept_corruptions(result):
        sentences += answers(result, f"{name}, {corruption}", under(name, corruption))
    for name in test_sets(result):
        for corruption in swept_corruptions(result):
            sentences += _against_all(result, first, name, corruption)
    sentences += _out_of_distribution(result, first)
    sentences += _checks(result)
    told = [model.name for model in result.models if TOLD in model.traits]
    if told:
        sentences.append(f"Told how strong the noise is: {', '.join(told)}; the others are not.")
    sizes = ", ".join(f"{s['sources']} ({n})" for n, s in result.data["test_sets"].items())
    sentences.append(
        f"Intervals are 95 % intervals over images, {sizes}, and rest on "
        f"{seeds_text(result)}. {CORRECTED} A star marks one that counts."
    )
    return sentences


def _against_all(result: Result, first: str, name: str, corruption: str) -> list[str]:
    """The first model against every other at its best, and against DiT at 100 passes and x0."""
    condition = under(name, corruption)
    best = {model.name: (model, row) for model, row in ranked(result, condition)}
    if first not in best:
        return []
    row = best[first][1]
    outcomes: dict[str, list[str]] = {
        "beats": [],
        "loses to": [],
        "does not surely differ from": [],
    }
    for comparison in result.comparisons:
        if (comparison.condition, comparison.a) != (condition, first):
            continue
        if not _worth_saying(comparison, best[comparison.b]):
            continue
        setting = comparison.b_setting
        at = f" at {setting.label}" if setting.options else ""
        said = f"{comparison.b}{at} ({difference_text(comparison)} dB)"
        if comparison.better is None:
            outcomes["does not surely differ from"].append(said)
        else:
            outcomes["beats" if comparison.difference > 0 else "loses to"].append(said)
    spoken = "; ".join(f"{verb} {', '.join(said)}" for verb, said in outcomes.items() if said)
    at = f" at {row.setting.label}" if row.setting.options else ""
    where = scope(result, f"{name}, {corruption} ({_noise(result, corruption)})")
    return [f"{where}: {first}{at}, {row.metrics['psnr'].mean:.2f} dB, {spoken or 'is alone'}."]


def _worth_saying(comparison: Comparison, opponent: tuple[Model, Row]) -> bool:
    model, row = opponent
    if model.training is None:
        return model.name in SPOKEN_FLOORS
    setting = comparison.b_setting
    if setting.fixed or setting == row.setting:
        return True
    ddim = setting.options.get("sampler") == "ddim"
    return setting.order == ONE_PASS or (ddim and setting.order == MANY_PASSES)


def _noise(result: Result, corruption: str) -> str:
    entry = next(e for e in result.data["corruptions"] if e["name"] == corruption)
    trained = "the trained level" if corruption == TRAINED else "out of distribution"
    return f"noise std {entry['noise_std']:.2f}, {trained}"


def _out_of_distribution(result: Result, first: str) -> list[str]:
    """Over all sets and corruptions but the trained level: how often better, alike, worse."""
    sentences = []
    for other in ("dit", "direct", "direct_multi_level", "dit_full_range"):
        counts: Counter[str | None] = Counter()
        for name in test_sets(result):
            for corruption in corruption_names(result):
                found = find_comparison(result, first, other, under(name, corruption))
                if found is not None and corruption != TRAINED:
                    counts[found.better] += 1
        if counts:
            sentences.append(
                f"Out of distribution, over {counts.total()} test sets and corruptions, each at "
                f"its selected setting: {first} leads {other} in {counts[first]}, trails in "
                f"{counts[other]}, and neither surely in {counts[None]}."
            )
    return sentences


def _checks(result: Result) -> list[str]:
    """What must hold for the comparison to mean anything."""
    name = test_sets(result)[0]
    condition = under(name, TRAINED)
    models = {model.name: model for model in result.models}
    sentences = []
    floor = selected_row(models["gaussian_blur"], condition) if "gaussian_blur" in models else None
    if floor is not None:
        failing = [
            model.name
            for model, row in ranked(result, condition)
            if model.training and row.metrics["psnr"].mean <= floor.metrics["psnr"].mean
        ]
        said = "every trained model is above gaussian_blur"
        if failing:
            said = f"not above gaussian_blur: {', '.join(failing)}"
        sentences.append(f"{name}, {TRAINED}: {said}.")
    if "dit" in models and "direct" in models:
        one_pass, direct = (
            rows_under(models[model], condition)[0].metrics["psnr"].mean
            for model in ("dit", "direct")
        )
        sentences.append(
            f"{name}, {TRAINED}: dit in one pass (x0) stands {one_pass - direct:+.2f} dB from "
            "direct in one pass."
        )
    return sentences
