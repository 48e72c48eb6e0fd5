"""The model in its plainest form. Read this file first.

E(context, candidate) says how well a candidate for the next frame goes with the frames before it;
low is compatible. A prediction starts from a rough candidate and descends the energy: it thinks.
Here both streams run as one sequence under an explicit mask, autograd gives every gradient, and
nothing is kept from step to step, as in the reference code (alexiglad/EBT).

`NextFrameEBT` computes the same numbers from the same weights: it encodes the context once, writes
gradients out and groups frames. `tests/test_naive.py` holds it equal to this file in energies,
gradients, losses and rollouts.

Letters in shapes: B batch, T frames, P patches per frame, L = T * P tokens of a stream, D embedding
width, W model width, A attention heads, K width of a head.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from worldmodel.backbone import EmptyContext, Visible
from worldmodel.energy import deviance
from worldmodel.layers import Attention, Block, Rotation
from worldmodel.next_frame import NextFrameEBT
from worldmodel.noise import Stream, noise_like
from worldmodel.predictor import Clips


class ReferenceEBT:
    """Energy, thinking, losses and rollouts of `model`, from its weights and options.

    Candidate t is for the frame after frame t of the context, so that both have T frames.
    """

    def __init__(self, model: NextFrameEBT):
        self.model = model

    def energies(self, context: Tensor, candidate: Tensor) -> Tensor:
        """E(context, candidate) `[B, T]` of candidates `[B, T, P, D]`: a sum over patches."""
        return self.patch_energies(context, candidate).sum(-1)

    def patch_energies(self, context: Tensor, candidate: Tensor) -> Tensor:
        """The energies `[B, T, P]` of patches: what the form makes of their features."""
        energy = self.model.energy
        anchor = context if energy.anchor == "last_frame" else 0.0
        return energy.form.energy(
            energy.heads, self.features(context, candidate), candidate, anchor
        )

    def think(self, context: Tensor, candidate: Tensor, steps: int) -> Tensor:
        """The candidates `[B, T, P, D]` after some steps down the energy."""
        for _ in range(steps):
            candidate = self.step(context, candidate.detach()).detach()
        return candidate

    def step(self, context: Tensor, candidate: Tensor, training: bool = False) -> Tensor:
        """The candidates after one step; in training it can be back-propagated through."""
        if not candidate.requires_grad:
            candidate.requires_grad_()
        energy = self.energies(context, candidate).sum()  # no prediction depends on another
        (gradient,) = torch.autograd.grad(energy, candidate, create_graph=training)
        return candidate - self.model.energy.step_size * gradient

    def features(self, context: Tensor, candidate: Tensor) -> Tensor:
        """What the backbone makes of candidates `[B, T, P, W]` behind their context.

        A patch enters with its place, its embedding, and what the last observed frame hands on at
        the same place: that frame's own features, through a linear layer.
        """
        energy, (frames, patches) = self.model.energy, context.shape[1:3]
        position = energy.context.position
        tokens = position.expand(*context.shape[:2], *position.shape)  # [B, T, P, W]
        seen = who_sees_whom(frames, patches)
        if isinstance(energy.context, EmptyContext):  # the candidate is judged alone
            observed = torch.zeros_like(tokens)
            seen[frames * patches :, : frames * patches] = False
        else:
            observed = energy.context.embed(context) + position
            last = self._run(observed.flatten(1, 2), causal(frames, patches), range(frames))
            tokens = tokens + energy.context.project(last.unflatten(1, (frames, patches)))
        if energy.embed_candidate is not None:
            tokens = tokens + energy.embed_candidate(candidate)
        both = torch.cat([observed, tokens], dim=1).flatten(1, 2)  # [B, 2 L, W]
        joint = self._run(both, seen, [*range(frames), *range(1, frames + 1)])
        return joint[:, frames * patches :].unflatten(1, (frames, patches))

    def training_losses(self, batch: Clips, seed: int) -> Iterator[Tensor]:
        """Smooth-L1 after thinking steps, and the energy loss: the model's noise and schedule."""
        config = self.model.config
        target, context = batch.embeddings[:, 1:], batch.embeddings[:, :-1]
        noise = noise_like(target, batch.keys, Stream.TRAINING_START, seed)
        candidate = config.start_noise * noise + (1 - config.start_noise) * context
        judged = config.training_steps if config.loss_at == "each" else 1
        total = torch.zeros((), device=target.device)
        for step in range(1, config.training_steps + 1):
            start = candidate.detach() if config.detach else candidate
            candidate = self.step(context, start, training=True)
            if config.loss_at == "last" and step < config.training_steps:
                continue
            loss = F.smooth_l1_loss(candidate, target)
            if config.resolved_energy_loss_weight:
                error = (start.detach() - target).square().sum(-1) / 2  # [B, T, P]
                score = deviance(self.patch_energies(context, start), error)
                loss = loss + config.resolved_energy_loss_weight * score
            if config.detach:
                yield loss / judged
            total = total + loss / judged
        if not config.detach:
            yield total

    def rollout(self, context: Clips, horizon: int, steps: int) -> Tensor:
        """Predict `horizon` frames `[B, horizon, P, D]`, every position anew for each of them."""
        model, embeddings = self.model, context.embeddings
        for _ in range(horizon):
            every = Visible.every(embeddings.shape[1])
            start = model.start(model.energy.encode(embeddings), every, context.keys)
            predicted = self.think(embeddings, start, steps)
            embeddings = torch.cat([embeddings, predicted[:, -1:]], dim=1)
        return embeddings[:, -horizon:]

    def _run(self, x: Tensor, seen: Tensor, frames: Sequence[int]) -> Tensor:
        """Tokens `[B, L, W]` of `frames` through all blocks; `seen [L, L]` says who sees whom."""
        backbone = self.model.energy.backbone
        rotation = backbone.rotary(torch.tensor(list(frames), device=x.device))  # [L, K] each
        for number in range(backbone.depth):
            block = backbone.blocks[number % len(backbone.blocks)]
            assert isinstance(block, Block)
            x = x + attend(block.attention, block.attention_norm(x), rotation, seen.to(x.device))
            x = x + block.feed_forward(block.feed_forward_norm(x))
        return backbone.norm(x)


def attend(attention: Attention, x: Tensor, rotation: Rotation, seen: Tensor) -> Tensor:
    """Attention over tokens `[B, L, W]`, each seeing those that its row of `seen [L, L]` allows."""
    q, k, v = (
        layer(x).unflatten(2, (attention.heads, -1)).transpose(1, 2)  # [B, A, L, K]
        for layer in (attention.query, attention.key, attention.value)
    )
    q, k = turned(q, rotation), turned(k, rotation)
    scores = q @ k.transpose(2, 3) * q.shape[-1] ** -0.5  # [B, A, L, L]
    weights = scores.masked_fill(~seen, float("-inf")).softmax(dim=3)
    return attention.output((weights @ v).transpose(1, 2).flatten(2))


def turned(x: Tensor, rotation: Rotation) -> Tensor:
    """Rotary positions: each pair (one of either half of a head) turned by its angle."""
    first, second = x.chunk(2, dim=-1)
    return x * rotation[0] + torch.cat([second, first], dim=-1) * rotation[1]


def causal(frames: int, patches: int) -> Tensor:
    """Who sees whom among observed tokens `[L, L]`: causal over frames, dense within one."""
    frame = torch.arange(frames).repeat_interleave(patches)
    return frame[:, None] >= frame[None]


def who_sees_whom(frames: int, patches: int) -> Tensor:
    """The same with candidates `[2 L, 2 L]`; a row sees the columns that are true.

    A candidate sees the observed frames up to its own place and its own patches. Nothing sees
    another candidate, and no observed frame sees any.
    """
    observed = causal(frames, patches)
    frame = torch.arange(frames).repeat_interleave(patches)
    own = frame[:, None] == frame[None]
    above = torch.cat([observed, torch.zeros_like(observed)], dim=1)
    return torch.cat([above, torch.cat([observed, own], dim=1)], dim=0)
