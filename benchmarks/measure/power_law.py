"""Power laws through losses: L = a x^-b, and L = c + a x^-b with a floor c.

A fit minimises the sum of Huber losses on log L (Hoffmann et al., 2022; a mean instead of the sum
stops optimisers early: Besiroglu et al., 2024). The exponent is tried at hundreds of values, for
each of which the linear part (a, c) has a closed form (variable projection). The best of them are
then polished together by L-BFGS-B.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import huber
from scipy.stats import f as f_distribution

HUBER = 1e-3  # the residual of log L from which on the loss is linear
STARTS = 400
EXPONENTS = np.geomspace(1e-3, 10, STARTS)
POLISHED = 3  # starts
HIGHEST_FLOOR = 1 - 1e-6  # as a share of the lowest loss
FACTR = {"ftol": 1e-15, "gtol": 1e-12, "maxiter": 500}


@dataclass(frozen=True)
class PowerLaw:
    """floor + scale * x^-exponent."""

    scale: float
    exponent: float
    floor: float = 0.0

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The losses at `x`."""
        loss: np.ndarray = self.floor + self.scale * np.asarray(x, float) ** -self.exponent
        return loss


@dataclass(frozen=True)
class Goodness:
    """How well a fit describes its points.

    `r_squared` is that of log L; `rms` is the root mean square of its residuals; `lack_of_fit` is
    the p-value of an F-test of the residuals of groups against the spread within them (small: the
    points do not follow the curve), None where no group has two points.
    """

    r_squared: float
    rms: float
    lack_of_fit: float | None


def fit_power_law(x: np.ndarray, losses: np.ndarray, with_floor: bool) -> PowerLaw:
    """The power law through the points `x [N]`, `losses [N]`, both above 0.

    Raises:
        ValueError: a number is not above 0, or all x are the same.
    """
    x, losses = np.asarray(x, float), np.asarray(losses, float)
    if not (np.all(x > 0) and np.all(losses > 0) and x.max() > x.min()):
        raise ValueError("a power law needs different x, and x and losses above 0")
    middle = float(np.exp(np.log(x).mean()))  # x is measured in it, so that scales are alike
    u, y = np.log(x / middle), np.log(losses)
    if with_floor:
        starts = _projected(u, losses)
    else:
        slope, height = np.polyfit(u, y, 1)
        starts = np.array([[height, -slope, 0.0]])
    top = HIGHEST_FLOOR * losses.min() if with_floor else 0.0
    # Falling and rising power laws alike; a floor is meant for falling ones.
    bounds = [(None, None), (1e-4 if with_floor else None, None), (0.0, top)]
    found = min(
        (
            minimize(_objective, start, (u, y), "L-BFGS-B", True, bounds=bounds, options=FACTR)
            for start in starts
        ),
        key=lambda result: float(result.fun),
    )
    height, exponent, floor = (float(value) for value in found.x)
    return PowerLaw(float(np.exp(height + exponent * np.log(middle))), exponent, floor)


def goodness(law: PowerLaw, x: np.ndarray, losses: np.ndarray) -> Goodness:
    """How well a fit describes losses `[groups, repeats]` at `x [groups]`."""
    y, fitted = np.log(losses), np.log(law(x))[:, None]
    residuals = y - fitted
    groups, repeats = losses.shape
    total = float(((y - y.mean()) ** 2).sum())
    squares = float((residuals**2).sum())
    lack = None
    free = groups - (3 if law.floor > 0 else 2)
    within = float(((y - y.mean(axis=1, keepdims=True)) ** 2).sum())
    if repeats > 1 and free > 0 and within > 0:
        between = repeats * float(((y.mean(axis=1) - fitted[:, 0]) ** 2).sum())
        ratio = (between / free) / (within / (groups * (repeats - 1)))
        lack = float(f_distribution.sf(ratio, free, groups * (repeats - 1)))
    r_squared = 1 - squares / total if total > 0 else 0.0
    return Goodness(r_squared, float(np.sqrt((residuals**2).mean())), lack)


def _objective(parameters: np.ndarray, u: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Sum of Huber losses of y - log(c + exp(h - b u)) with its gradient, in units of HUBER."""
    height, exponent, floor = parameters
    power = np.exp(np.clip(height - exponent * u, -300, 300))
    fitted = floor + power
    residual = (y - np.log(fitted)) / HUBER
    loss = huber(1, residual).sum()
    slope = -np.clip(residual, -1, 1) / HUBER / fitted  # of the loss on the fitted value
    gradient = np.array([(slope * power).sum(), -(slope * power * u).sum(), slope.sum()])
    return float(loss), gradient


def _projected(u: np.ndarray, losses: np.ndarray) -> np.ndarray:
    """The best starts `[POLISHED, 3]`: for each exponent the least squares of relative errors."""
    basis = np.exp(-EXPONENTS[:, None] * u)  # [starts, N]
    weights = 1 / losses**2
    total, first, second = weights.sum(), basis @ weights, (basis**2) @ weights
    product, level = basis @ (weights * losses), (weights * losses).sum()
    determinant = np.maximum(total * second - first**2, 1e-300)
    floor = np.clip(
        (second * level - first * product) / determinant, 0, HIGHEST_FLOOR * min(losses)
    )
    scale = np.maximum((product - floor * first) / second, 1e-300)
    starts = np.stack([np.log(scale), EXPONENTS, floor], axis=1)
    fitted = floor[:, None] + scale[:, None] * basis
    values = huber(HUBER, np.log(losses) - np.log(fitted)).sum(axis=1)
    return starts[np.argsort(values, kind="stable")[:POLISHED]]
