"""What probes found, as it stands in a result."""

from dataclasses import dataclass

from benchmarks.record.results import Details, Metric

LINEAR, ATTENTIVE = "linear", "attentive"
CONSTANT, RAW, UNTRAINED = "constant", "embeddings", "untrained"


@dataclass(frozen=True)
class ProbedPlace:
    """One probe of the features of one place of one model.

    Args:
        corpus: name of the corpus of the items.
        label: what the probe has to find.
        classes: number of classes; None where the label is a number.
        model: name of the model, or of a floor.
        place: place in the network, and for images the diffusion step of the noise.
        probe: `linear` or `attentive`.
        selected: whether validation selects the place for this label.
        validation: accuracy or R² on validation, mean over training seeds.
        score: top-1 accuracy, or R², on test.
        top5: top-5 accuracy, for more than five classes.
        width: number of features of a token.
        training_flops: FLOPs of the training of the model; None for a floor.
        equal: what the model shares with the first one.
    """

    corpus: str
    label: str
    classes: int | None
    model: str
    place: str
    probe: str
    selected: bool
    validation: float
    score: Metric
    top5: Metric | None
    width: int
    training_flops: int | None
    equal: list[str]

    @property
    def title(self) -> str:
        """What is found, for readers."""
        classes = f" ({self.classes} classes)" if self.classes else ""
        return f"{self.corpus}: {self.label}{classes}"

    @property
    def name(self) -> str:
        """The name of its values among those of the run."""
        return f"{self.corpus}/{self.label}/{self.probe}/{self.model}/{self.place}"


@dataclass(frozen=True)
class Difference:
    """Paired difference a - b of the score, each model at its selected place."""

    corpus: str
    label: str
    probe: str
    a: str
    b: str
    score: Metric


@dataclass(frozen=True)
class Found(Details):
    """Everything that probes found; `items` counts them by corpus and split."""

    items: dict[str, dict[str, int]]
    places: list[ProbedPlace]
    differences: list[Difference]
    run: str | None
