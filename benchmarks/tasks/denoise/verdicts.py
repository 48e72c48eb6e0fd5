"""What a denoising result says in words, and the look-ups that its tables share."""

from collections import Counter

from benchmarks.report import seeds_text
from benchmarks.results import Comparison, Model, Result, Row

TRAINED = "level 0.1"


def test_sets(result: Result) -> list[str]:
    """The names of the test sets; the first is the training corpus's own."""
    return list(result.data["test_sets"])


def swept_corruptions(result: Result) -> list[str]:
    """The corruptions under which every setting was evaluated."""
    swept = result.config["corruption"]["swept_levels"]
    return [entry["name"] for entry in result.data["corruptions"] if entry["level"] in swept]


def ranked(result: Result, name: str, corruption: str) -> list[tuple[Model, Row]]:
    """Each model at its selected setting, best PSNR first."""
    rows = [
        (model, row)
        for model in result.models
        for row in model.rows
        if (row.split, row.protocol) == (name, corruption) and row.selected
    ]
    return sorted(rows, key=lambda pair: -pair[1].metrics["psnr"].mean)


def difference(
    result: Result, a: str, b: str, name: str, corruption: str, brief: bool = False
) -> str:
    """Paired PSNR difference of two models at their selected settings."""
    found = _comparison(result, a, b, name, corruption)
    if found is None:
        return "–"
    if brief:
        sure = "" if found.verdict == "no difference" else "*"
        return f"{found.difference:+.2f}{sure}"
    return f"{found.difference:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"


def verdicts(result: Result) -> list[str]:
    """Who won, by how much and at what cost, in plain words."""
    sentences = []
    first = result.models[0].name
    for name in test_sets(result):
        for corruption in swept_corruptions(result):
            sentences += _against_all(result, first, name, corruption)
    sentences += _out_of_distribution(result, first)
    sentences += _checks(result)
    told = [model.name for model in result.models if model.told_noise]
    if told:
        sentences.append(f"Told how strong the noise is: {', '.join(told)}; the others are not.")
    sizes = ", ".join(f"{s['sources']} ({n})" for n, s in result.data["test_sets"].items())
    sentences.append(
        f"Intervals are 95 % bootstrap intervals over images, {sizes}, and rest on "
        f"{seeds_text(result)}. A star marks a difference whose interval does not hold zero."
    )
    return sentences


def _against_all(result: Result, first: str, name: str, corruption: str) -> list[str]:
    """The first model against every other at its best, and against DiT at 100 passes and x0."""
    best = {model.name: (model, row) for model, row in ranked(result, name, corruption)}
    if first not in best:
        return []
    row = best[first][1]
    outcomes: dict[str, list[str]] = {"beats": [], "loses to": [], "does not differ from": []}
    for comparison in result.comparisons:
        if (comparison.split, comparison.protocol, comparison.a) != (name, corruption, first):
            continue
        opponent = best[comparison.b]
        if not _worth_saying(comparison, opponent):
            continue
        interval = f"{comparison.difference:+.2f} [{comparison.low:+.2f}, {comparison.high:+.2f}]"
        said = f"{comparison.b}{_setting_words(comparison)} ({interval} dB)"
        if comparison.verdict == "no difference":
            outcomes["does not differ from"].append(said)
        else:
            outcomes["beats" if comparison.difference > 0 else "loses to"].append(said)
    spoken = "; ".join(f"{verb} {', '.join(said)}" for verb, said in outcomes.items() if said)
    steps = f" at {_count(row.setting['steps'], 'step')}" if "steps" in row.setting else ""
    where = f"{name}, {corruption} ({_noise(result, corruption)})"
    return [f"{where}: {first}{steps}, {row.metrics['psnr'].mean:.2f} dB, {spoken}."]


def _worth_saying(comparison: Comparison, opponent: tuple[Model, Row]) -> bool:
    setting = comparison.b_setting
    if opponent[0].training is None:
        return comparison.b in ("bm3d", "non_local_means", "gaussian_blur")
    sampler, passes = setting.get("sampler"), setting.get("passes")
    named = sampler in ("x0", "published") or (sampler, passes) == ("ddim", 100)
    return named or opponent[1].setting == setting


def _setting_words(comparison: Comparison) -> str:
    setting = comparison.b_setting
    if setting.get("sampler") == "x0":
        return " in one pass (x0)"
    if setting.get("sampler") == "published":
        return f" as published ({setting['passes']} passes from t = 99)"
    if "sampler" in setting:
        return f" at {setting['passes']} passes ({setting['sampler']})"
    if "passes" in setting:
        return " in one pass" if setting["passes"] == 1 else f" applied {setting['passes']} times"
    if "steps" in setting:
        return f" at {_count(setting['steps'], 'step')}"
    return ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _noise(result: Result, corruption: str) -> str:
    entry = next(e for e in result.data["corruptions"] if e["name"] == corruption)
    trained = "the trained level" if corruption == TRAINED else "out of distribution"
    return f"noise std {entry['noise_std']:.2f}, {trained}"


def _out_of_distribution(result: Result, first: str) -> list[str]:
    """Over all sets and corruptions but the trained level: how often better, alike, worse."""
    sentences = []
    for other in ("dit", "direct", "direct_multi_level", "dit_full_range"):
        counts: Counter[str] = Counter()
        for name in test_sets(result):
            for entry in result.data["corruptions"]:
                found = _comparison(result, first, other, name, entry["name"])
                if found is not None and entry["name"] != TRAINED:
                    counts[found.verdict] += 1
        if counts:
            sentences.append(
                f"Out of distribution, over {counts.total()} test sets and corruptions, each at "
                f"its selected setting: {first} is better than {other} in "
                f"{counts[f'{first} is better']}, worse in {counts[f'{other} is better']}, no "
                f"different in {counts['no difference']}."
            )
    return sentences


def _checks(result: Result) -> list[str]:
    """What must hold for the comparison to mean anything."""
    name = test_sets(result)[0]
    best = {model.name: (model, row) for model, row in ranked(result, name, TRAINED)}
    sentences = []
    if "gaussian_blur" in best:
        floor = best["gaussian_blur"][1].metrics["psnr"].mean
        failing = [
            model.name
            for model, row in best.values()
            if model.training and row.metrics["psnr"].mean <= floor
        ]
        said = (
            f"not above gaussian_blur: {', '.join(failing)}"
            if failing
            else ("every trained model is above gaussian_blur")
        )
        sentences.append(f"{name}, {TRAINED}: {said}.")
    models = {model.name: model for model in result.models}
    if "dit" in models and "direct" in best:
        one_pass = next(
            row.metrics["psnr"].mean
            for row in models["dit"].rows
            if (row.split, row.protocol, row.setting["sampler"]) == (name, TRAINED, "x0")
        )
        direct = next(
            row.metrics["psnr"].mean
            for row in models["direct"].rows
            if (row.split, row.protocol, row.setting["passes"]) == (name, TRAINED, 1)
        )
        sentences.append(
            f"{name}, {TRAINED}: dit in one pass (x0) stands {one_pass - direct:+.2f} dB from "
            "direct in one pass."
        )
    return sentences


def _comparison(result: Result, a: str, b: str, name: str, corruption: str) -> Comparison | None:
    """The comparison at both models' selected settings."""
    chosen = {model.name: row.setting for model, row in ranked(result, name, corruption)}
    for found in result.comparisons:
        if (found.a, found.b, found.split, found.protocol) != (a, b, name, corruption):
            continue
        if found.a_setting == chosen.get(a) and found.b_setting == chosen.get(b):
            return found
    return None
