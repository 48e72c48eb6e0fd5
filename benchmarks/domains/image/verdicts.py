"""What a denoising result says in words, and the look-ups that its tables share."""

from benchmarks.domains.image.conditions import TOLD
from benchmarks.record.results import Result
from benchmarks.reporting.tables import Condition, seeds_text
from benchmarks.reporting.verdicts import answers, best_floor, few_sources, reading

TRAINED = "level 0.1"


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


def contrasted(result: Result) -> list[tuple[str, Condition]]:
    """Where the declared contrasts were judged: name and condition."""
    found = {v.compared.condition["corruption"]: v.compared.condition for v in result.verdicts}
    return [
        (f"{condition['images']}, {name} ({_noise(result, name)})", condition)
        for name, condition in found.items()
    ]


def verdicts(result: Result) -> list[str]:
    """Answers to the declared questions, and what a reader has to know, in plain words."""
    name = test_sets(result)[0]
    sentences = []
    for where, condition in contrasted(result):
        sentences += answers(result, where, condition)
    floor = best_floor(result, under(name, TRAINED))
    if floor is not None:
        sentences.append(f"{name}, {TRAINED}: {floor}.")
    told = [model.name for model in result.models if TOLD in model.traits]
    if told:
        sentences.append(f"Told how strong the noise is: {', '.join(told)}; the others are not.")
    counts = {n: s["sources"] for n, s in result.data["test_sets"].items()}
    sizes = ", ".join(f"{count} ({n})" for n, count in counts.items())
    sentences.append(f"Intervals are over images, {sizes}, and rest on {seeds_text(result)}.")
    return [*sentences, reading(result), *few_sources(counts, "images")]


def _noise(result: Result, corruption: str) -> str:
    entry = next(e for e in result.data["corruptions"] if e["name"] == corruption)
    trained = "the trained level" if corruption == TRAINED else "out of distribution"
    return f"noise std {entry['noise_std']:.2f}, {trained}"
