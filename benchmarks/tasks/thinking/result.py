"""What thinking found beside its rows, as it stands in a result."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from benchmarks.record.costs import Cost
from benchmarks.record.results import Details, Metric


@dataclass(frozen=True)
class Stopping:
    """A rule with the threshold that validation chose, and what it is worth on a set.

    `steps` are the mean steps of a prediction. `gain` is the PSNR over that of a fixed number of
    steps of the same mean cost, `saved` how many steps a fixed number takes more for the same PSNR
    (None where it never gets there). `cost` is that of the mean steps.
    """

    rule: str
    threshold: float
    psnr: Metric
    steps: Metric
    gain: Metric
    saved: float | None
    cost: Cost | None = None


@dataclass(frozen=True)
class Choice:
    """The error of predictions that are chosen by a rule among candidates from a source.

    `steps` are those of all candidates together. `error` is half the squared error on scaled
    embeddings. `rank` is the rank correlation of energy and error between the candidates of one
    prediction; it stands with the rule `energy` and three candidates or more. `cost` is that of the
    steps; None where other models made the candidates.
    """

    source: str
    rule: str
    candidates: int
    error: Metric
    rank: Metric | None
    steps: float = 0.0
    cost: Cost | None = None


@dataclass(frozen=True)
class Estimate:
    """How well an estimate of a prediction's error knows it.

    `kind` names the estimate; its metrics are those of an energy: mean over mean error, rank
    correlations across samples and patches, and the area between risk-coverage curves.
    """

    kind: str
    metrics: dict[str, Metric]


@dataclass(frozen=True)
class Verified:
    """What the energy says of one kind of candidates.

    `metrics` are the mean energy and error, energy over error, their rank correlation, the share of
    predictions in which the truth has the lower energy (`truth_preferred`) and how well the energy
    tells the truth of one sample from such a candidate of another (`auroc`); for the truth itself
    the share in which it has the lowest energy of all (`truth_first`).
    """

    kind: str
    metrics: dict[str, Metric]


@dataclass(frozen=True)
class KindScores:
    """How often continuations of a kind are more surprising than possible ones.

    `metrics` hold the share of pairs with the truth (`paired_score`) and, for impossible kinds,
    with a true alternative. `standing` says whether the kind is impossible, or the truth in a worse
    picture.
    """

    kind: str
    degree: float
    standing: str
    metrics: dict[str, Metric]


@dataclass(frozen=True)
class Verification:
    """How well one measure of a model's surprise tells impossible continuations from possible ones.

    `overall` holds the AUROC of all impossible against all possible continuations, and the share of
    impossible ones found at 5 % false alarms. `cost` is that of one continuation.
    """

    model: str
    measure: str
    setting: str
    overall: dict[str, Metric]
    by_kind: list[KindScores]
    cost: Cost


@dataclass(frozen=True)
class OnSet:
    """What was found of one model on one set of samples."""

    model: str
    samples: str
    stopping: list[Stopping]
    choices: list[Choice]
    doubts: list[Estimate]
    foreign: list[Verified]


@dataclass(frozen=True)
class Found(Details):
    """What was found of every model, on each end of a shift, and of its surprise."""

    sets: list[OnSet]
    surprise: list[Verification] = field(default_factory=list)

    def on(self, samples: str) -> Iterator[OnSet]:
        """What was found on a set, model by model."""
        return (one for one in self.sets if one.samples == samples)

    def of(self, model: str, samples: str) -> OnSet:
        """What was found of a model on a set; nothing where it was not judged there."""
        empty = OnSet(model, samples, [], [], [], [])
        return next((one for one in self.on(samples) if one.model == model), empty)
