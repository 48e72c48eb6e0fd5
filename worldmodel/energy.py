"""The energy transformer: encode the context once, score candidates against it.

Letters in shapes: B batch, T observed frames, C candidate frames, P patches per frame, D embedding
width, W model width. N candidates of one prediction are N candidate frames; the context is never
repeated.
"""

import math
import warnings
from typing import NamedTuple

import torch
import torch.nn.functional as F
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
from worldmodel.layers import initialise
from worldmodel.sharing import accept_former_names

HEAD_STD = 0.02
CALIBRATED_RMS = 0.3  # of the first update, or of the learned part's gradient, in start noise
FIRST_BIAS = -1.0  # softplus begins at 0.3, below the errors that training starts from
DEVIANCE_FLOOR = 1e-4  # far below any error that matters; keeps the logarithm finite


class EnergyTerms(NamedTuple):
    """Energies `[B, C, P]` of patches, and what their gradient needs.

    `offset [B, C, P, D]` is what the quadratic part squares, `slope [B, C, P]` that of softplus at
    its input; each is None in the forms without that part.
    """

    energy: Tensor
    offset: Tensor | None
    slope: Tensor | None


class EnergyTransformer(nn.Module):
    """E(context, candidate): a sum over patches of a scalar that the backbone's features give.

    Two streams run through the same blocks. The context stream encodes the observed frames. The
    candidate stream reads, for a candidate of the frame after the first `visible` ones, those
    frames and the candidate's own patches, and nothing else. Each patch starts from its own
    embedding and from what the last visible frame hands on at the same place.
    """

    log_gain: Tensor
    calibrated: Tensor

    def __init__(
        self, config: EBTConfig, backbone: BackboneConfig, grid: tuple[int, int], dim: int
    ):
        super().__init__()
        self.form, self.anchor = config.form, config.resolved_anchor
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
        # Without the energy loss a gradient on the candidate is all that trains: a head on features
        # that do not see the candidate would never learn, nor would a bias outside a nonlinearity.
        self.energy_head: nn.Linear | None = None
        if config.candidate_in_features or config.resolved_energy_loss_weight:
            self.energy_head = nn.Linear(backbone.width, 1, bias=self.form == "residual")
            nn.init.normal_(self.energy_head.weight, std=HEAD_STD)
            if self.energy_head.bias is not None:
                nn.init.constant_(self.energy_head.bias, FIRST_BIAS)
        self.residual_head: nn.Linear | None = None
        if self.form == "residual":
            self.residual_head = nn.Linear(backbone.width, dim, bias=False)
            nn.init.normal_(self.residual_head.weight, std=HEAD_STD)
        self.log_step_size = nn.Parameter(torch.zeros(()), requires_grad=config.learn_step_size)
        self.register_buffer("log_gain", torch.zeros(()))
        self.register_buffer("calibrated", torch.tensor(config.form == "residual"))
        accept_former_names(self, {"context.backbone.": "backbone."})

    @property
    def step_size(self) -> Tensor:
        """Step size of the descent; learned from 1 on, or in the linear form from a calibration."""
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
        features = self._look(candidate, context, visible).features  # [B, C, P, W]
        return self._energy(features, candidate, context, visible).energy

    def candidate_features(
        self, candidate: Tensor, context: EncodedContext, visible: Visible
    ) -> Tensor:
        """Features `[B, C, P, W]` of candidates `[B, C, P, D]`, from which the energy is read."""
        return self._look(candidate, context, visible).features

    def input_gradient(
        self, candidate: Tensor, context: EncodedContext, visible: Visible
    ) -> tuple[Tensor, Tensor]:
        """Gradient `[B, C, P, D]` of the energies on their candidates, and the patch energies.

        Written out, and so itself differentiable by one ordinary backward pass. The energies of
        patches are `[B, C, P]`.
        """
        look = self._look(candidate, context, visible)
        terms = self._energy(look.features, candidate, context, visible)
        learned = self._learned_gradient(look, candidate, terms)
        if learned is None:
            assert terms.offset is not None
            return terms.offset, terms.energy
        return learned if terms.offset is None else terms.offset + learned, terms.energy

    def calibrate(
        self, candidate: Tensor, context: EncodedContext, visible: Visible, noise: float = 1.0
    ) -> None:
        """Set the one free scale of the form once, on a batch of start candidates.

        `linear`: the step size, so that the first update has an RMS of 0.3 of the start's `noise`.
        `quadratic`: the gain of the learned part, so that its gradient has. `residual` has nothing
        to set. Kept in the state, so a loaded model is never calibrated again.

        Raises:
            FloatingPointError: the gradient at the start is zero or not finite.
        """
        if bool(self.calibrated):
            return
        with torch.no_grad():
            look = self._look(candidate, context, visible)
            gradient = self._learned_gradient(look, candidate, EnergyTerms(candidate, None, None))
        assert gradient is not None
        rms = float(gradient.square().mean().sqrt())
        if not (math.isfinite(rms) and rms > 1e-12):
            raise FloatingPointError(f"the energy's gradient at the start has an RMS of {rms}")
        scale = self.log_step_size if self.form == "linear" else self.log_gain
        with torch.no_grad():
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

    def _energy(
        self, features: Tensor, candidate: Tensor, context: EncodedContext, visible: Visible
    ) -> EnergyTerms:
        """Energies of patches, and the parts of them that the gradient needs."""
        with torch.autocast(candidate.device.type, enabled=False):
            features = features.to(candidate.dtype)
            learned, slope = candidate.new_zeros(candidate.shape[:3]), None  # [B, C, P]
            if self.energy_head is not None:
                learned = self.log_gain.exp() * self.energy_head(features).squeeze(-1)
            if self.form == "linear":
                return EnergyTerms(learned, None, None)
            offset = candidate - self._anchor(context, visible)  # [B, C, P, D]
            if self.residual_head is not None:
                offset = offset - self.residual_head(features)
                if self.energy_head is not None:
                    learned, slope = F.softplus(learned), learned.sigmoid()
            return EnergyTerms(offset.square().sum(-1) / 2 + learned, offset, slope)

    def _learned_gradient(
        self, look: CandidatePass, candidate: Tensor, terms: EnergyTerms
    ) -> Tensor | None:
        """The part of the gradient that comes through the features; None if they are blind."""
        if self.embed_candidate is None or self.energy_head is None:
            return None
        with torch.autocast(candidate.device.type, enabled=False):
            gradient = (self.log_gain.exp() * self.energy_head.weight[0]).expand_as(look.features)
            if terms.slope is not None:
                gradient = gradient * terms.slope[..., None]
            if self.residual_head is not None and terms.offset is not None:
                gradient = gradient - terms.offset @ self.residual_head.weight  # [B, C, P, W]
        gradient = self.backbone.input_gradient(gradient, look)
        return (gradient @ self.embed_candidate.weight).to(candidate.dtype)

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
