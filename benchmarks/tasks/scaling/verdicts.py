"""What a sweep says, in words."""

from collections.abc import Mapping

import numpy as np

from benchmarks.measure.power_law import fit_power_law
from benchmarks.record.model_names import title_of
from benchmarks.record.results import Metric, Result
from benchmarks.reporting.tables import interval, seeds_text
from benchmarks.tasks.scaling.points import unreachable_loss
from benchmarks.tasks.scaling.result import PURE, Contrast, Fit, Found, Ratio

FARTHEST = 1000  # times the measured range, beyond which no crossing is named
# Widths of its sizes, and numbers of a frame, whose candidate starts as noise.
PUBLISHED_WIDTHS, PUBLISHED_NUMBERS = (128, 256, 384, 768, 1024, 1536, 2048), 3136


def answers(found: Found) -> list[str]:
    """What the sweep was made for: exponents along its axis, and how they compare."""
    main = _main(found)
    if not found.ratios:
        return [_fit_sentence(fit) for fit in found.fits if fit.axis == main]
    ratios = [_ratio_sentence(r, found) for r in found.ratios if r.axis == main and r.form == PURE]
    return [*ratios, *map(_contrast_sentence, found.contrasts)]


def doubts(found: Found) -> list[str]:
    """What a reader of the exponents has to weigh against them."""
    main = _main(found)
    ratios = [ratio for ratio in found.ratios if ratio.axis == main]
    sentences = [_ratio_sentence(ratio, found) for ratio in ratios if ratio.form != PURE]
    for ratio in ratios:
        sentences += _doubts_of(ratio, found)
    return [*sentences, *_loss_sentences(found), *_unreachable_sentences(found)]


def to_know(result: Result, found: Found) -> list[str]:
    """What the numbers are, and on what they rest."""
    missing = [f"{name} is missing: {reason}." for name, reason in found.failed.items()]
    return [
        *missing,
        "Losses are test Smooth-L1 on scaled embeddings at the setting that validation selects.",
        f"Intervals are 95 % percentiles of {found.replicates} bootstrap replicates over test "
        f"videos and training seeds; they rest on {seeds_text(result)}.",
    ]


def _main(found: Found) -> str:
    return found.fits[0].axis if found.fits else found.axis


def _fit_sentence(fit: Fit) -> str:
    where = f"{fit.variant}: " if fit.variant else ""
    law = f"L = {fit.form} against {fit.axis}"
    if fit.refused:
        return f"{where}{law} is refused for {title_of(fit.model)}: {fit.refused}."
    said = f"{where}{law}: the exponent of {title_of(fit.model)} is {interval(fit.exponent, 3)}."
    return said + _left_out(fit.without)


def _ratio_sentence(ratio: Ratio, found: Found) -> str:
    where = f"{ratio.variant}: " if ratio.variant else ""
    law = f"L = {ratio.form} against {ratio.axis}"
    left_out = _left_out(ratio.without)
    if ratio.ratio is None:
        return f"{where}{law}: no ratio of exponents ({ratio.refused}).{left_out}"
    a, b = (found.fit_of(ratio, model) for model in (ratio.a, ratio.b))
    return (
        f"{where}{law}: the exponent of {title_of(ratio.a)} is {interval(a.exponent, 3)}, that of "
        f"{title_of(ratio.b)} {interval(b.exponent, 3)}. Their ratio is "
        f"{interval(ratio.ratio, 2)}, which {_side(ratio.ratio)}.{left_out}"
    )


def _doubts_of(ratio: Ratio, found: Found) -> list[str]:
    """What speaks against the two fits of a ratio, and where their curves cross."""
    if ratio.ratio is None:
        return []
    where = f"{ratio.variant}: " if ratio.variant else ""
    fits = [found.fit_of(ratio, model) for model in (ratio.a, ratio.b)]
    sentences = [f"{where}{title_of(f.model)}: {doubt}." for f in fits for doubt in f.doubts]
    if ratio.crossing is not None:
        sentences.append(where + _crossing(ratio, ratio.crossing))
    return sentences


def _left_out(without: Mapping[str, float]) -> str:
    """What leaving out each value in turn does."""
    if not without:
        return ""
    omissions = ", ".join(f"{left:.2f} (without {value})" for value, left in without.items())
    return f" With one value left out it becomes {omissions}."


def _crossing(ratio: Ratio, place: Metric) -> str:
    outside = not ratio.lowest <= place.mean <= ratio.highest
    both = f"{title_of(ratio.a)} and {title_of(ratio.b)}"
    said = (
        f"the curves of {both} cross at {ratio.axis} {place.mean:.3g} "
        f"[{place.ends[0]:.3g}, {place.ends[1]:.3g}]"
    )
    factor = max(place.mean / ratio.highest, ratio.lowest / place.mean)
    if factor > FARTHEST:
        return f"The curves of {both} would not cross within {FARTHEST:,} times the measured range."
    if outside:
        return (
            f"EXTRAPOLATED beyond the measured range by a factor of {factor:.3g}: {said}; no "
            "point was measured there."
        )
    return f"{_capital(said)}, within the measured range."


def _contrast_sentence(one: Contrast) -> str:
    """The ratio of exponents of one variant over that of another."""
    return (
        f"L = {one.form}: the ratio of the exponents of {title_of(one.a)} and "
        f"{title_of(one.b)} in {one.first} is {interval(one.ratio, 2)} times that in "
        f"{one.second}; this interval {_side(one.ratio)}."
    )


def _side(found: Metric) -> str:
    """Where an interval lies beside 1."""
    low, high = found.ends
    if low > 1:
        return "lies above 1"
    return "lies below 1" if high < 1 else "holds 1"


def _loss_sentences(found: Found) -> list[str]:
    """How the losses themselves compare, variant by variant: a ratio of exponents hides that."""
    by_place = {(p.variant, p.model, p.value): p.loss.mean for p in found.points}
    models = list(dict.fromkeys(point.model for point in found.points))
    sentences = []
    for variant in dict.fromkeys(point.variant for point in found.points):
        for other in models[1:]:
            times = [
                by_place[variant, models[0], value] / by_place[variant, other, value]
                for place, model, value in by_place
                if place == variant and model == other and (variant, models[0], value) in by_place
            ]
            if times:
                where = f"{variant}: " if variant else f"Over all values of {found.axis} "
                sentences.append(
                    f"{where}the loss of {title_of(models[0])} is {min(times):.2f} to "
                    f"{max(times):.2f} times that of {title_of(other)}."
                )
    return sentences


def _unreachable_sentences(found: Found) -> list[str]:
    """What a projection of the candidate leaves, and how near to it the losses stand."""
    sentences = []
    for variant, model in dict.fromkeys((p.variant, p.model) for p in found.points):
        own = [p for p in found.points if (p.variant, p.model) == (variant, model)]
        left = [(p.x[found.axis], p.unreachable, p.loss.mean) for p in own if p.unreachable]
        if found.axis != "width" or len(left) < 2 or len(left) < len(own):
            continue
        widths, floors, losses = (np.array(column) for column in zip(*left, strict=True))
        times = losses / floors
        where = f"{variant}: " if variant else ""
        sentences.append(
            f"{where}the projection of the candidate onto the width leaves {title_of(model)} a "
            f"loss of {floors[0]:.3f} at width {widths[0]:.0f} and {floors[-1]:.3f} at "
            f"{widths[-1]:.0f}, whatever is learned. This floor falls with an exponent of "
            f"{_slope(widths, floors):.2f} by itself, and the measured losses are "
            f"{times.min():.2f} to {times.max():.2f} times it. At the published widths it falls "
            f"with {_published_slope():.2f}."
        )
    return sentences


def _published_slope() -> float:
    """The exponent of the floor at the published sizes."""
    widths = np.array(PUBLISHED_WIDTHS, float)
    floors = [unreachable_loss("linear", 1.0, True, w, PUBLISHED_NUMBERS) for w in PUBLISHED_WIDTHS]
    return _slope(widths, np.array(floors, float))


def _slope(x: np.ndarray, losses: np.ndarray) -> float:
    return fit_power_law(x, losses, with_floor=False).exponent


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
