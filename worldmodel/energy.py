"""The energy transformer: encode the context once, score candidates against it.

Letters in shapes: B batch, T observed frames, C candidate frames, P patches per frame, D embedding
width, W model width. N candidates of one prediction are N candidate frames; the context is never
repeated.
"""

import math
import warnings

import torch
from torch import Tensor, nn

from worldmodel.backbone import (
    CandidatePass,
    ContextEncoder,
    EmptyContext,
    EncodedContext,
    Transformer,
    Visible,
)
from worldmodel.config import BackboneConfig, EBTConfig
from worldmodel.forms import FORMS, HeadGradient
from worldmodel.layers import Head, Heads, initialise
from worldmodel.sharing import accept_former_names

CALIBRATED_RMS = 0.3  # of the first update, or of the learned part's gradient, in start noise
GAIN = "heads.energy.log_gain"
FORMER_NAMES = {
    "context.backbone.": "backbone.",
    "energy_head.": "heads.energy.",
    "residual_head.": "heads.prediction.",
}
DEVIANCE_FLOOR = 1e-4  # far below any error that matters; keeps the logarithm finite


class EnergyTransformer(nn.Module):
    """E(context, candidate): a sum over patches of a scalar that the backbone's features give.

    Two streams run through the same blocks. The context stream encodes the observed frames. The
    candidate stream reads, for a candidate of the frame after the first `visible` ones, those
    frames and the candidate's own patches, and nothing else. Each patch starts from its own
    embedding and from what the last visible frame hands on at the same place.
    """

    calibrated: Tensor

    def __init__(
        self, config: EBTConfig, backbone: BackboneConfig, grid: tuple[int, int], dim: int
    ):
        super().__init__()
        self.form, self.anchor = FORMS[config.form], config.resolved_anchor
        self.sees_context = config.context
        self.backbone = Transformer(backbone, grid)
        self.context: ContextEncoder | EmptyContext = (
            ContextEncoder(backbone, grid, dim, projected=True)
            if config.context
            else EmptyContext(backbone, grid)
        )
        self.embed_candidate = (
            nn.Linear(dim, backbone.width, bias=False) if config.candidate_in_features else None
        )
        if dim > backbone.width and config.candidate_in_features:
            warnings.warn(
                f"embedding width {dim} exceeds model width {backbone.width}: the learned part of "
                f"the energy moves a candidate in {backbone.width} of {dim} dimensions only; keep "
                "fewer frequencies or widen the backbone",
                stacklevel=2,
            )
        if self.embed_candidate is not None:
            initialise(self.embed_candidate)
        gained = self.form.scale == "gain"
        self.heads = Heads(
            {
                name: Head(
                    backbone.width,
                    dim if reading.embedding else 1,
                    reading.bias,
                    gained=gained and name == "energy",
                )
                for name, reading in self.form.heads.items()
            }
        )
        self.log_step_size = nn.Parameter(torch.zeros(()), requires_grad=config.learn_step_size)
        self.register_buffer("calibrated", torch.tensor(self.form.scale is None))
        accept_former_names(self, FORMER_NAMES | {"log_gain": GAIN if gained else None})

    @property
    def step_size(self) -> Tensor:
        """Step size of the descent; learned from 1 on, or from where `calibrate` has set it."""
        return self.log_step_size.exp()

    def encode(self, embeddings: Tensor, past: EncodedContext | None = None) -> EncodedContext:
        """Encode observed frames `[B, T, P, D]` that follow `past`.

        Where the energy judges the candidate alone, nothing is computed: the frames remain as the
        anchor only.
        """
        encoded: EncodedContext = self.context(self.backbone, embeddings, past)
        return encoded

    def forward(self, candidate: Tensor, context: EncodedContext, visible: Visible) -> Tensor:
        """Energy `[B, C]` of candidates `[B, C, P, D]`, lower is more compatible.

        The c-th is a candidate for the frame after the first `visible.counts[c]` frames of
        the context.
        """
        return self.patch_energies(candidate, context, visible).sum(-1)

    def patch_energies(
        self, candidate: Tensor, context: EncodedContext, visible: Visible
    ) -> Tensor:
        """Energy `[B, C, P]` of every patch of candidates `[B, C, P, D]`.

        Where the energy loss has taught it, the half squared error that is expected of the patch.
        """
        features = self._look(candidate, context, visible).features
        with torch.autocast(candidate.device.type, enabled=False):
            h, r = features.to(candidate.dtype), self._anchor(context, visible)
            return self.form.energy(self.heads, h, candidate, r)

    def candidate_features(
        self, candidate: Tensor, context: EncodedContext, visible: Visible
    ) -> Tensor:
        """Features `[B, C, P, W]` of candidates `[B, C, P, D]`, from which the energy is read."""
        return self._look(candidate, context, visible).features

    def input_gradient(
        self, candidate: Tensor, context: EncodedContext, visible: Visible
    ) -> tuple[Tensor, Tensor]:
        """Gradient `[B, C, P, D]` of the energies on their candidates, and the patch energies.

        Written out, but for what a form leaves to autograd at its head, and so itself
        differentiable by one ordinary backward pass. The energies of patches are `[B, C, P]`.
        """
        look = self._look(candidate, context, visible)
        at_head = self._head_gradient(look.features, candidate, context, visible)
        found = at_head.candidate
        if self.embed_candidate is not None and at_head.features is not None:
            learned = self._through_backbone(at_head.features, look)
            found = learned if found is None else found + learned
        assert found is not None  # no form is blind and without a prediction
        return found, at_head.energy

    def calibrate(
        self, candidate: Tensor, context: EncodedContext, visible: Visible, noise: float = 1.0
    ) -> None:
        """Set the one free scale of the form once, on a batch of start candidates.

        A step size is set so that the first update has an RMS of 0.3 of the start's `noise`, a gain
        so that the learned part's gradient has. A form without a scale has nothing to set. Kept in
        the state, so that a loaded model is never calibrated again.

        Raises:
            FloatingPointError: the gradient at the start is zero or not finite.
        """
        if bool(self.calibrated):
            return
        with torch.no_grad():
            if self.form.scale == "gain":
                look = self._look(candidate, context, visible)
                at_head = self._head_gradient(look.features, candidate, context, visible)
                scale = self.heads["energy"].log_gain
                assert scale is not None
                assert at_head.features is not None
                gradient = self._through_backbone(at_head.features, look)
            else:
                scale = self.log_step_size
                gradient, _ = self.input_gradient(candidate, context, visible)
            rms = float(gradient.square().mean().sqrt())
            if not (math.isfinite(rms) and rms > 1e-12):
                raise FloatingPointError(f"the energy's gradient at the start has an RMS of {rms}")
            scale.fill_(math.log(CALIBRATED_RMS * noise / rms))
            self.calibrated.fill_(True)

    def _look(self, candidate: Tensor, context: EncodedContext, visible: Visible) -> CandidatePass:
        """One forward pass over candidates; its features are `[B, C, P, W]`."""
        tokens: Tensor = self.context.position
        if self.sees_context:
            tokens = tokens + context.features.index_select(1, visible.index - 1)  # [B, C, P, W]
        if self.embed_candidate is not None:
            tokens = tokens + self.embed_candidate(candidate)  # [B, C, P, W]
        return self.backbone.candidates(tokens, context, visible)

    def _head_gradient(
        self, features: Tensor, candidate: Tensor, context: EncodedContext, visible: Visible
    ) -> HeadGradient:
        """Energies of patches and their gradients at the head, in float32 at least."""
        with torch.autocast(candidate.device.type, enabled=False):
            h, r = features.to(candidate.dtype), self._anchor(context, visible)
            sighted = self.embed_candidate is not None
            return self.form.gradient(self.heads, h, candidate, r, sighted)

    def _through_backbone(self, gradient: Tensor, look: CandidatePass) -> Tensor:
        """Gradient `[B, C, P, D]` on candidates from that on their features `[B, C, P, W]`."""
        assert self.embed_candidate is not None
        on_tokens = self.backbone.input_gradient(gradient, look)
        return (on_tokens @ self.embed_candidate.weight).to(gradient.dtype)

    def _anchor(self, context: EncodedContext, visible: Visible) -> Tensor | float:
        return (
            context.embeddings.index_select(1, visible.index - 1)
            if self.anchor == "last_frame"
            else 0.0
        )


def deviance(energy: Tensor, error: Tensor) -> Tensor:
    """How far energies are from the expected errors; lowest, for each, where it is that.

    The sum of two proper scores of a positive mean (Patton, 2011): the deviance of an
    exponential distribution, error / energy + log energy, in which every patch counts by its
    relative error; and that of a Poisson distribution, energy - error log energy, in units of the
    frame's mean energy, in which large errors count and which is lowest only where the means agree.
    Neither depends on the scale. The unit is no function of the errors, so that it does not make
    either score improper, and of one frame, so that a batch may be judged in parts. Both arguments
    are at least 0 and of shape `[B, C, P]`.
    """
    energy, error = energy + DEVIANCE_FLOOR, error + DEVIANCE_FLOOR
    exponential = error / energy + energy.log()
    unit = energy.detach().mean(dim=-1, keepdim=True)
    poisson = (energy - error * energy.log()) / unit
    return (exponential + poisson).mean()
