"""What a denoising result says in words, and the look-ups that its tables share."""

from benchmarks.domains.image.conditions import TOLD
from benchmarks.record.results import Result
from benchmarks.reporting.tables import Condition
from benchmarks.reporting.verdicts import what_to_know

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
    return [(f"{_distribution(name)}: {name}", condition) for name, condition in found.items()]


def to_know(result: Result) -> list[str]:
    """What a reader has to know to read the grid."""
    data, first = result.data, test_sets(result)[0]
    trained_on = f"{data['clips']['train']} images of {data['corpus']}"
    judged_on = {name: size["sources"] for name, size in data["test_sets"].items()}
    return what_to_know(result, under(first, TRAINED), trained_on, judged_on, "images")


def told_of(result: Result) -> str:
    """Which models are told how strong the noise is."""
    told = [model.title for model in result.models if TOLD in model.traits]
    return f"Told how strong the noise is: {'; '.join(told)}. The others are not." if told else ""


def _distribution(corruption: str) -> str:
    return "In distribution" if corruption == TRAINED else "Out of distribution"
