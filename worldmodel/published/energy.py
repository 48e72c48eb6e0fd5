"""The published energy of a frame: one token per frame, and a step token before the context.

Letters in shapes: B batch, T observed frames, C candidate frames, F width of a flattened frame,
W model width.
"""

import math

import torch
from torch import Tensor, nn

from worldmodel.backbone import CandidatePass, EncodedContext, Visible
from worldmodel.config import BackboneConfig
from worldmodel.energy import CALIBRATED_RMS
from worldmodel.published.config import PublishedEBTConfig
from worldmodel.published.layers import PublishedTransformer, initialise

LEAST_STEP_SIZE = 1e-4


class PublishedEnergy(nn.Module):
    """E(context, candidate): a linear head on the token of a candidate.

    Context and candidates go through the same projection. The step token says which of several
    landscapes the energy is of; the context sees it too, and so is encoded for each landscape. A
    candidate is moved in the row space of the projection only: where F is above W, the start noise
    outside stays.
    """

    calibrated: Tensor

    def __init__(self, config: PublishedEBTConfig, backbone: BackboneConfig, frame: int):
        super().__init__()
        self.landscapes, self.width = config.landscapes, backbone.width
        self.backbone = PublishedTransformer(backbone)
        self.project = nn.Linear(frame, backbone.width)
        self.step_tokens = nn.Embedding(config.landscapes, backbone.width)
        self.head = nn.Linear(backbone.width, 1, bias=False)
        for layer in (self.project, self.head):
            initialise(layer)
        self.raw_step_size = nn.Parameter(
            torch.tensor(config.step_size), requires_grad=config.learn_step_size
        )
        self.register_buffer("calibrated", torch.tensor(not config.calibrate))
        self.project.requires_grad_(config.projection == "learned")

    @property
    def step_size(self) -> Tensor:
        """The step size alpha, at least 1e-4."""
        return self.raw_step_size.clamp_min(LEAST_STEP_SIZE)

    def encode(
        self, frames: Tensor, landscape: int, past: EncodedContext | None = None
    ) -> EncodedContext:
        """Encode observed frames `[B, T, F]` in one landscape, after `past`.

        The step token is part of the context: its first frame.
        """
        tokens = self.project(frames)[:, :, None]  # [B, T, 1, W]
        if past is None:
            step = self.step_tokens.weight[landscape].to(tokens).expand(len(frames), 1, 1, -1)
            tokens = torch.cat([step, tokens], dim=1)
        features, keys, values = self.backbone(tokens, past)
        observed = frames[:, :, None]
        if past is not None:
            features = torch.cat([past.features, features], dim=1)
            observed = torch.cat([past.embeddings, observed], dim=1)
        return EncodedContext(keys, values, features, observed)

    def forward(self, candidate: Tensor, context: EncodedContext, visible: Visible) -> Tensor:
        """Energy `[B, C]` of candidates `[B, C, F]`, in the landscape of the context.

        The c-th is a candidate for the frame after the first `visible.counts[c]` frames.
        """
        return self._read(self._look(candidate, context, visible, None), candidate)

    def features(self, candidate: Tensor, context: EncodedContext, visible: Visible) -> Tensor:
        """Features `[B, C, W]` of candidates `[B, C, F]`, from which the energy is read."""
        return self._look(candidate, context, visible, None).features[:, :, 0]

    def input_gradient(
        self,
        candidate: Tensor,
        context: EncodedContext,
        visible: Visible,
        noise: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Gradient `[B, C, F]` of the energies on their candidates, and the energies `[B, C]`.

        Both are taken where `noise [B, C, W]` is added to the projected candidates. Written out,
        and so itself differentiable by one ordinary backward pass.
        """
        look = self._look(candidate, context, visible, noise)
        energies = self._read(look, candidate)
        to_features = self.head.weight[0].expand_as(look.features)
        gradient = self.backbone.input_gradient(to_features, look)[:, :, 0]  # [B, C, W]
        return (gradient @ self.project.weight).to(candidate.dtype), energies

    def start(self, noise: Tensor, retained: bool) -> Tensor:
        """Start candidates `[B, C, F]` from noise; without what no step can remove if not retained.

        A step moves a candidate in the row space of the projection; the rest of the noise is set to
        zero. No gradient goes through it.
        """
        weight = self.project.weight.detach()  # [W, F]
        if retained or weight.shape[0] >= weight.shape[1]:
            return noise
        with torch.autocast(noise.device.type, enabled=False):
            basis = torch.linalg.qr(weight.float().T).Q.to(noise)  # [F, W], orthonormal columns
            return noise @ basis @ basis.T

    def project_on_components(self, frames: Tensor) -> None:
        """Set the projection to the principal components of frames `[N, F]`, the largest first.

        Its rows are orthogonal and of one length, at which the tokens of these frames have a mean
        square of 1. Where F is below W, the rows that are left over are zero.
        """
        with torch.no_grad():
            centred = (frames - frames.mean(0)).double()
            variances, components = torch.linalg.eigh(centred.T @ centred / len(frames))
            rows = components.flip(1)[:, : self.width].T  # [min(W, F), F]
            kept = float(variances.flip(0)[: self.width].sum())
            rows = rows * math.sqrt(self.width / max(kept, torch.finfo(torch.float32).tiny))
            self.project.weight.zero_()
            self.project.weight[: len(rows)] = rows.to(self.project.weight)
            self.project.bias.copy_(-self.project.weight @ frames.mean(0))

    def calibrate(self, gradient: Tensor) -> None:
        """Set the step size once, so that the first update has an RMS of 0.3.

        `gradient [B, C, F]` is that at start candidates. Kept in the state, so a loaded model is
        never calibrated again.

        Raises:
            FloatingPointError: the gradient is zero or not finite.
        """
        rms = float(gradient.square().mean().sqrt())
        if not (math.isfinite(rms) and rms > 0):
            raise FloatingPointError(f"the energy's gradient at the start has an RMS of {rms}")
        with torch.no_grad():
            self.raw_step_size.fill_(CALIBRATED_RMS / rms)
            self.calibrated.fill_(True)

    def _look(
        self, candidate: Tensor, context: EncodedContext, visible: Visible, noise: Tensor | None
    ) -> CandidatePass:
        """One forward pass over candidates; its features are `[B, C, 1, W]`."""
        tokens = self.project(candidate)
        if noise is not None:
            tokens = tokens + noise
        # The step token stands before the frames.
        seen = Visible(tuple(count + 1 for count in visible.counts), visible.index + 1)
        return self.backbone.candidates(tokens[:, :, None], context, seen)

    def _read(self, look: CandidatePass, candidate: Tensor) -> Tensor:
        with torch.autocast(candidate.device.type, enabled=False):
            energies: Tensor = self.head(look.features.to(candidate.dtype))  # [B, C, 1, 1]
        return energies[:, :, 0, 0]
