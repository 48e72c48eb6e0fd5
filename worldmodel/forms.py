"""Forms of the energy: what the energy of a patch is, from features, candidate and anchor.

A new form is one class here. Options, models and the tests that hold every form to a slow reference
find it by its name. Options are checked against the forms before torch is imported, so this file
imports nothing heavy.

In the formulas h are the features `[B, C, P, W]` of the candidate stream, y is the candidate and r
the anchor `[B, C, P, D]`. A head w reads one number off the features, a head W an embedding.

Letters in shapes: B batch, C candidate frames, P patches per frame, D embedding width, W model
width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

    from worldmodel.layers import Heads

FORMS: dict[str, Form] = {}  # by their names in options


@dataclass(frozen=True)
class Reading:
    """What a linear head reads off the features: one number, or where `embedding` D of them.

    Its bias begins at `bias`; None is a head without one.
    """

    embedding: bool = False
    bias: float | None = None


class HeadGradient(NamedTuple):
    """Energies of patches `[B, C, P]` and their gradients, as far as the head goes.

    `features [B, C, P, W]` is the gradient on the features, `candidate [B, C, P, D]` that on the
    candidate itself. None is no gradient, or one that nobody asked for.
    """

    energy: Tensor
    features: Tensor | None
    candidate: Tensor | None


class Form:
    """A form of the energy; it holds no weights.

    A subclass gives its name in options, its heads and its energy. What it may say beside:

    - `anchored`: whether r enters the energy.
    - `scale`: what `EnergyTransformer.calibrate` sets, once: the step size of the descent, the gain
      of the head `energy`, or nothing.
    - `energy_loss_weight`: where `ebt.energy_loss_weight` is null; None for energies that may be
      negative, which no loss can teach to be an error.
    """

    heads: ClassVar[Mapping[str, Reading]] = {}
    anchored: ClassVar[bool] = True
    scale: ClassVar[Literal["step size", "gain"] | None] = None
    energy_loss_weight: ClassVar[float | None] = None

    def __init_subclass__(cls, name: str):
        FORMS[name] = cls()

    @property
    def predicts(self) -> bool:
        """Whether a head reads an embedding, towards which even an unseen candidate moves."""
        return any(reading.embedding for reading in self.heads.values())

    @property
    def scores(self) -> bool:
        """Whether a head reads a number, which tells one candidate or context from another."""
        return any(not reading.embedding for reading in self.heads.values())

    def energy(self, heads: Heads, h: Tensor, y: Tensor, r: Tensor | float) -> Tensor:
        """Energies of patches `[B, C, P]` from features, candidates and anchors (or zero)."""
        raise NotImplementedError

    def gradient(
        self, heads: Heads, h: Tensor, y: Tensor, r: Tensor | float, on_features: bool
    ) -> HeadGradient:
        """The energies and their gradients on h and y, each as if the other stood still.

        Autograd's, differentiable once more where gradients are recorded. A form may write them
        out instead, which is faster. Without `on_features` the gradient on h may be left out.
        """
        from torch.func import grad_and_value

        def total(h: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            energy = self.energy(heads, h, y, r)
            return energy.sum(), energy

        gradients, (_, energy) = grad_and_value(total, argnums=(0, 1), has_aux=True)(h, y)
        return HeadGradient(energy, *gradients)


class Residual(Form, name="residual"):
    """1/2 |y - r - W h|^2 + softplus(w h + b): half the squared error that is expected of y.

    W h + r is where the target is expected, and the softplus half its variance there.
    """

    heads: ClassVar[Mapping[str, Reading]] = {
        "energy": Reading(bias=-1.0),  # softplus begins at 0.3, below the first errors of training
        "prediction": Reading(embedding=True),
    }
    energy_loss_weight = 0.003

    def energy(self, heads: Heads, h: Tensor, y: Tensor, r: Tensor | float) -> Tensor:
        """The formula."""
        from torch.nn.functional import softplus

        offset = y - r - heads["prediction"](h)  # [B, C, P, D]
        return offset.square().sum(-1) / 2 + softplus(heads["energy"](h).squeeze(-1))

    def gradient(
        self, heads: Heads, h: Tensor, y: Tensor, r: Tensor | float, on_features: bool
    ) -> HeadGradient:
        """Written out."""
        from torch.nn.functional import softplus

        number = heads["energy"](h)  # [B, C, P, 1]
        offset = y - r - heads["prediction"](h)  # [B, C, P, D]
        energy = offset.square().sum(-1) / 2 + softplus(number.squeeze(-1))
        if not on_features:
            return HeadGradient(energy, None, offset)
        features = heads["energy"].input_gradient(number.sigmoid())
        features = features - heads["prediction"].input_gradient(offset)
        return HeadGradient(energy, features, offset)


class Quadratic(Form, name="quadratic"):
    """1/2 |y - r|^2 + w h: a paraboloid around the anchor, and what is learned."""

    heads: ClassVar[Mapping[str, Reading]] = {"energy": Reading()}
    scale = "gain"

    def energy(self, heads: Heads, h: Tensor, y: Tensor, r: Tensor | float) -> Tensor:
        """The formula."""
        return (y - r).square().sum(-1) / 2 + heads["energy"](h).squeeze(-1)

    def gradient(
        self, heads: Heads, h: Tensor, y: Tensor, r: Tensor | float, on_features: bool
    ) -> HeadGradient:
        """Written out."""
        offset, number = y - r, heads["energy"](h)  # [B, C, P, D], [B, C, P, 1]
        energy = offset.square().sum(-1) / 2 + number.squeeze(-1)
        features = heads["energy"].input_gradient(number.new_ones(number.shape))
        return HeadGradient(energy, features, offset)


class Linear(Form, name="linear"):
    """w h, as published (arXiv 2507.02092)."""

    heads: ClassVar[Mapping[str, Reading]] = {"energy": Reading()}
    anchored = False
    scale = "step size"

    def energy(self, heads: Heads, h: Tensor, y: Tensor, r: Tensor | float) -> Tensor:
        """The formula."""
        return heads["energy"](h).squeeze(-1)

    def gradient(
        self, heads: Heads, h: Tensor, y: Tensor, r: Tensor | float, on_features: bool
    ) -> HeadGradient:
        """Written out."""
        number = heads["energy"](h)  # [B, C, P, 1]
        features = heads["energy"].input_gradient(number.new_ones(number.shape))
        return HeadGradient(number.squeeze(-1), features, None)


class GradientStep(Form, name="gradient_step"):
    """1/2 |y - N|^2 with N = r + W h: how far a network N(y, context) would move the candidate.

    A network whose unit step denoises as N does, but is the gradient of an energy (Hurault et al.,
    ICLR 2022, arXiv 2110.03220). The gradient holds N's Jacobian on y.
    """

    heads: ClassVar[Mapping[str, Reading]] = {"prediction": Reading(embedding=True)}
    energy_loss_weight = 0.0

    def energy(self, heads: Heads, h: Tensor, y: Tensor, r: Tensor | float) -> Tensor:
        """The formula."""
        return (y - r - heads["prediction"](h)).square().sum(-1) / 2
