"""What a sweep found, as it stands in its result."""

from dataclasses import dataclass, field

from benchmarks.record.results import Details, Metric
from data_prep.errors import InputError

PURE, WITH_FLOOR = "a x^-b", "c + a x^-b"


@dataclass(frozen=True)
class Point:
    """One model at one value of the axis.

    Args:
        variant: name of the sweep, empty where there is one only.
        value: value of the axis, as it was given.
        model: name of the model.
        folder: folder of the run, below that of the sweep.
        x: what the loss may be plotted against, by name.
        loss: test Smooth-L1 on scaled embeddings, at the setting that validation selects.
        seed_losses: the same for each training seed.
        setting: label of that setting.
        learning_rate: peak learning rate.
        optimizer: optimiser.
        unreachable: the least loss that a projection of the candidate allows; None where none is
            in the way.
    """

    variant: str
    value: str
    model: str
    folder: str
    x: dict[str, float]
    loss: Metric
    seed_losses: list[float]
    setting: str
    learning_rate: float
    optimizer: str
    unreachable: float | None = None

    @property
    def name(self) -> str:
        """The name of the values of its videos among those that are kept."""
        return f"{self.variant}/{self.value}/{self.model}/smooth_l1"


@dataclass(frozen=True)
class Fit:
    """A power law through the points of one model.

    `exponent`, `scale` and `floor` have bootstrap intervals; `without` holds the exponent with each
    value of the axis left out. `refused` says why the points do not
    support the fit, and `doubts` what speaks against it; both are for readers.
    """

    variant: str
    model: str
    axis: str
    form: str
    exponent: Metric
    scale: Metric
    floor: Metric
    r_squared: float
    rms: float
    lack_of_fit: float | None
    refused: str | None = None
    doubts: list[str] = field(default_factory=list)
    without: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Ratio:
    """Exponent of model `a` over that of `b`, and where their curves cross.

    `crossing` is None where they surely do not, or not surely anywhere; it is an extrapolation
    where it lies outside `lowest` to `highest`. `without` holds the ratio with each value of the
    axis left out.
    """

    variant: str
    a: str
    b: str
    axis: str
    form: str
    ratio: Metric | None
    refused: str | None
    lowest: float
    highest: float
    crossing: Metric | None = None
    without: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Contrast:
    """The ratio of exponents in one variant over that in another."""

    first: str
    second: str
    a: str
    b: str
    form: str
    ratio: Metric


@dataclass(frozen=True)
class Found(Details):
    """Everything that a sweep found; `failed` are the reasons of points without a result."""

    axis: str
    rule: str
    replicates: int
    points: list[Point]
    fits: list[Fit]
    ratios: list[Ratio]
    contrasts: list[Contrast]
    failed: dict[str, str]

    def fit_of(self, ratio: Ratio, model: str) -> Fit:
        """The fit of one of the two models of a ratio."""
        key = (ratio.variant, model, ratio.axis, ratio.form)
        return next(f for f in self.fits if (f.variant, f.model, f.axis, f.form) == key)


def cited(found: Found, kind: str, model: str, where: str) -> Metric:
    """`loss` of a point, `exponent` of a fit or `ratio` of two along the axis, for documents.

    Raises:
        InputError: the sweep has none.
    """
    if kind == "loss":
        variant, _, value = where.rpartition(", ")
        for point in found.points:
            if (point.variant, point.value, point.model) == (variant, value, model):
                return point.loss
    if kind == "exponent":
        for fit in found.fits:
            if (fit.variant, fit.model, fit.axis, fit.form) == (where, model, found.axis, PURE):
                return fit.exponent
    if kind == "ratio":
        variant, _, value = where.partition(" without ")
        for ratio in found.ratios:
            if (ratio.variant, ratio.axis, ratio.form) == (variant, found.axis, PURE):
                a, b = (found.fit_of(ratio, name).exponent.mean for name in (ratio.a, ratio.b))
                number = ratio.without.get(value) if value else a / b
                if number is not None:
                    return Metric(number, None, None, 0, None)
    raise InputError(f"no {kind} {model} {where!r} in this sweep")
