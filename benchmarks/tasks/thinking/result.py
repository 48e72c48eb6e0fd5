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

    `overall` holds the AUROC of all impossible against all possible continuations, how far it is
    above that of the plain regressor's distance to its own prediction, the share of impossible ones
    found at 5 % false alarms, and the share of pairs with the truth. `cost` is that of one
    continuation.
    """

    model: str
    measure: str
    setting: str
    overall: dict[str, Metric]
    by_kind: list[KindScores]
    cost: Cost


@dataclass(frozen=True)
class Attacked:
    """What is left of a measure of surprise when impossible frames are changed to lower it.

    The gradient takes `steps`, and no number of a pixel, of which 1 is white, moves by more than
    `bound`. `metrics` are those of all impossible continuations against the possible ones.
    """

    model: str
    measure: str
    setting: str
    bound: float
    steps: int
    metrics: dict[str, Metric]


@dataclass(frozen=True)
class SampledChoice:
    """Samples of a model that samples, of which `rule` chooses one and keeps half.

    `measure` of the model `verifier` is the surprise by which it chooses; both are empty where it
    takes any one. `samples` of `passes` each are drawn. `metrics` are the share of chosen samples
    that are at a listed future (`at_future`), the log-probability of the listed future nearest to
    them, and the energy score of the kept ones on the span of the listed futures, where there are
    two or more. `equivalents` are the forward-equivalents of drawing and judging them, counted on
    real calls for one frame.
    """

    sampler: str
    rule: str
    verifier: str
    measure: str
    samples: int
    passes: int
    metrics: dict[str, Metric]
    equivalents: float


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
    """What was found of every model: on each end of a shift, of its surprise, and of choices."""

    sets: list[OnSet]
    surprise: list[Verification] = field(default_factory=list)
    attacks: list[Attacked] = field(default_factory=list)
    sampled: list[SampledChoice] = field(default_factory=list)

    def on(self, samples: str) -> Iterator[OnSet]:
        """What was found on a set, model by model."""
        return (one for one in self.sets if one.samples == samples)

    def of(self, model: str, samples: str) -> OnSet:
        """What was found of a model on a set; nothing where it was not judged there."""
        empty = OnSet(model, samples, [], [], [], [])
        return next((one for one in self.on(samples) if one.model == model), empty)
