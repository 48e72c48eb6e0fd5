"""The slow EBT that the fast one is held against: same weights, same mathematics, nothing kept.

In every thinking step the context is encoded anew and both streams run as one sequence under a
dense mask, as in the reference code (alexiglad/EBT); a rollout predicts all positions again for
each new frame. Written for reading: no cache, no leaves, no fused kernel.

Letters in shapes: B batch, T frames, P patches per frame, L = T * P tokens of a stream, D embedding
width, W model width, A attention heads, K width of a head.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from worldmodel.backbone import EmptyContext, Visible
from worldmodel.energy import deviance
from worldmodel.layers import Block, Rotation
from worldmodel.next_frame import NextFrameEBT
from worldmodel.noise import Stream, noise_like
from worldmodel.predictor import Clips


class NaiveEBT:
    """Energies, losses and rollouts of `model`, the slow way; forms and options as in `model`."""

    def __init__(self, model: NextFrameEBT):
        self.model = model

    def energies(self, context: Tensor, candidate: Tensor) -> Tensor:
        """Energies `[B, T]` of candidates `[B, T, P, D]` for the frames after each of `context`."""
        return self.patch_energies(context, candidate).sum(-1)

    def patch_energies(self, context: Tensor, candidate: Tensor) -> Tensor:
        """The energies `[B, T, P]` of their patches."""
        energy = self.model.energy
        frames, patches = context.shape[1:3]
        position = energy.context.position
        tokens = position.expand(*context.shape[:2], *position.shape)
        seen = _both_streams(frames, patches)
        if isinstance(energy.context, EmptyContext):  # the energy of the candidate alone
            observed = torch.zeros_like(tokens)
            seen[frames * patches :, : frames * patches] = False
        else:
            observed = energy.context.embed(context) + position  # [B, T, P, W]
            last = self._run(observed.flatten(1, 2), _causal(frames, patches), range(frames))
            tokens = tokens + energy.context.project(last.unflatten(1, (frames, patches)))
        if energy.embed_candidate is not None:
            tokens = tokens + energy.embed_candidate(candidate)
        both = torch.cat([observed.flatten(1, 2), tokens.flatten(1, 2)], dim=1)  # [B, 2 L, W]
        joint = self._run(both, seen, [*range(frames), *range(1, frames + 1)])
        features = joint[:, frames * patches :].unflatten(1, (frames, patches))
        anchor = context if energy.anchor == "last_frame" else 0.0
        return energy.form.energy(energy.heads, features, candidate, anchor)

    def training_losses(self, batch: Clips, seed: int) -> Iterator[Tensor]:
        """The model's own losses: its noise, its schedule of steps, its shares."""
        config = self.model.config
        target, context = batch.embeddings[:, 1:], batch.embeddings[:, :-1]
        noise = noise_like(target, batch.keys, Stream.TRAINING_START, seed)
        candidate = config.start_noise * noise + (1 - config.start_noise) * context
        total = torch.zeros((), device=target.device)
        for step in range(1, config.training_steps + 1):
            start = candidate
            candidate = self._step(context, start, detach=config.detach, second_order=True)
            if config.loss_at == "each" or step == config.training_steps:
                share = config.training_steps if config.loss_at == "each" else 1
                loss = F.smooth_l1_loss(candidate, target) / share
                if config.resolved_energy_loss_weight:
                    if config.detach:
                        start = start.detach()
                    energy = self.patch_energies(context, start)
                    error = (start.detach() - target).square().sum(-1) / 2
                    score = deviance(energy, error)
                    loss = loss + config.resolved_energy_loss_weight * score / share
                if config.detach:
                    yield loss
                else:
                    total = total + loss
        if not config.detach:
            yield total

    def rollout(self, context: Clips, horizon: int, steps: int) -> Tensor:
        """Predict `horizon` frames `[B, horizon, P, D]`, every position anew for each of them."""
        model, embeddings = self.model, context.embeddings
        for _ in range(horizon):
            visible = Visible.every(embeddings.shape[1])
            encoded = model.energy.encode(embeddings)
            candidate = model.start(encoded, visible, context.keys)
            for _ in range(steps):
                candidate = self._step(embeddings, candidate, detach=True, second_order=False)
            embeddings = torch.cat([embeddings, candidate[:, -1:].detach()], dim=1)
        return embeddings[:, -horizon:]

    def _step(self, context: Tensor, candidate: Tensor, detach: bool, second_order: bool) -> Tensor:
        if detach or not candidate.requires_grad:
            candidate = candidate.detach().requires_grad_()
        energy = self.energies(context, candidate).sum()
        (gradient,) = torch.autograd.grad(energy, candidate, create_graph=second_order)
        return candidate - self.model.energy.step_size * gradient

    def _run(self, x: Tensor, seen: Tensor, frames: Sequence[int]) -> Tensor:
        """Tokens `[B, L, W]` of `frames` through all blocks; `seen [L, L]` says who sees whom."""
        backbone = self.model.energy.backbone
        rotation = backbone.rotary(torch.tensor(list(frames), device=x.device))  # [L, K] each
        for block in backbone.blocks:
            assert isinstance(block, Block)
            x = x + _attend(block, block.attention_norm(x), rotation, seen)
            x = x + block.feed_forward(block.feed_forward_norm(x))
        return backbone.norm(x)


def _attend(block: Block, x: Tensor, rotation: Rotation, seen: Tensor) -> Tensor:
    attention = block.attention
    q, k, v = (
        layer(x).unflatten(2, (attention.heads, -1)).transpose(1, 2)  # [B, A, L, K]
        for layer in (attention.query, attention.key, attention.value)
    )
    q, k = _turned(q, rotation), _turned(k, rotation)
    scores = q @ k.transpose(2, 3) * q.shape[-1] ** -0.5  # [B, A, L, L]
    weights = scores.masked_fill(~seen.to(x.device), float("-inf")).softmax(dim=3)
    return attention.output((weights @ v).transpose(1, 2).flatten(2))


def _turned(x: Tensor, rotation: Rotation) -> Tensor:
    """Rotary positions: each pair (one of either half of a head) turned by its angle."""
    first, second = x.chunk(2, dim=-1)
    return x * rotation[0] + torch.cat([second, first], dim=-1) * rotation[1]


def _causal(frames: int, patches: int) -> Tensor:
    """Who sees whom among observed tokens `[L, L]`: causal over frames, dense within one."""
    frame = torch.arange(frames).repeat_interleave(patches)
    return frame[:, None] >= frame[None]


def _both_streams(frames: int, patches: int) -> Tensor:
    """The same with candidates `[2 L, 2 L]`: the c-th sees the frames up to the c-th and itself."""
    causal = _causal(frames, patches)
    frame = torch.arange(frames).repeat_interleave(patches)
    own = frame[:, None] == frame[None]
    above = torch.cat([causal, torch.zeros_like(causal)], dim=1)
    return torch.cat([above, torch.cat([causal, own], dim=1)], dim=0)
