"""Next-frame prediction by thinking: the EBT as a predictor."""

from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldmodel.backbone import EncodedContext, Visible
from worldmodel.config import BackboneConfig, EBTConfig
from worldmodel.energy import EnergyTransformer, deviance
from worldmodel.noise import Stream, noise_like, numbered_noise, spread_around
from worldmodel.predictor import (
    Clips,
    Predictor,
    Setting,
    Thinking,
    Trajectory,
    expect,
    predict_longest,
)
from worldmodel.rollout import cached_rollout
from worldmodel.surprise import Surprise, energy_of
from worldmodel.system2 import (
    ReplayBuffer,
    Replayed,
    langevin_noise,
    number_of_steps,
    step_size_factors,
)
from worldmodel.thinking import NonFiniteError, frame_groups, think, thinking_step

MANY_DRAWS = 16  # training steps whose mean cost is that of one


class NextFrameEBT(Predictor):
    """Predict the next frame by descending E(context, candidate) (arXiv 2507.02092, section 3).

    Its settings are numbers of thinking steps. Several candidates of a frame descend at once, on
    one context.
    """

    def __init__(
        self, config: EBTConfig, backbone: BackboneConfig, grid: tuple[int, int], dim: int
    ):
        super().__init__()
        self.config = config
        self.energy = EnergyTransformer(config, backbone, grid, dim)
        self._replay = ReplayBuffer(config.replay)

    @property
    def backbone(self) -> nn.Module:
        """The stack of both streams."""
        return self.energy.backbone

    def regions(self) -> list[tuple[nn.Module, str]]:
        """Encoding the context, and one step's energy and gradient."""
        return [(self.energy, "encode"), (self.energy, "input_gradient")]

    def settings(self, counts: Sequence[int]) -> Sequence[Setting]:
        """A setting for each number of thinking steps."""
        return [Thinking(steps) for steps in sorted({*counts, self.config.training_steps})]

    def trained_setting(self) -> Setting:
        """As many thinking steps as in training."""
        return Thinking(self.config.training_steps)

    @property
    def training_draws(self) -> int:
        """Many where the number of thinking steps is drawn."""
        return MANY_DRAWS if self.config.random_steps else 1

    def predict(self, context: Clips, setting: Setting, energies: bool = False) -> Trajectory:
        """Think about every next frame in parallel."""
        with torch.no_grad():
            encoded = self.energy.encode(context.embeddings)
            visible = Visible.every(encoded.frames, encoded.features.device)
            return self._think(encoded, visible, context.keys, setting, energies)

    def predict_all(
        self, context: Clips, settings: Sequence[Setting], energies: bool = False
    ) -> list[Trajectory]:
        """A trajectory for each setting: all are parts of one, unless candidates compete."""
        if any(expect(setting, Thinking).candidates > 1 for setting in settings):
            return super().predict_all(context, settings, energies)
        return predict_longest(self, context, settings, energies)

    def rollout(self, context: Clips, horizon: int, setting: Setting) -> Tensor:
        """Predict `horizon` frames with a key/value cache and one candidate frame at a time.

        Raises:
            NonFiniteError: a frame is not finite; found after the last, so that no frame waits.
        """

        def next_frame(encoded: EncodedContext) -> Tensor:
            return self._next_frame(encoded, context.keys, setting, checked=False)

        with torch.no_grad():
            encode = self.energy.encode
            frames = cached_rollout(encode, next_frame, context.embeddings, horizon)
        finite = frames.flatten(2).isfinite().all(dim=2)  # [B, horizon]
        if not bool(finite.all()):
            clip, frame = (~finite).nonzero()[0].tolist()
            raise NonFiniteError(
                f"frame {frame + 1} of a rollout not finite, clip {context.keys[clip]}"
            )
        return frames

    def next_frame(self, encoded: EncodedContext, keys: Sequence[str], setting: Setting) -> Tensor:
        """Think about the frame `[B, 1, P, D]` that follows all observed ones."""
        return self._next_frame(encoded, keys, setting, checked=True)

    def _next_frame(
        self, encoded: EncodedContext, keys: Sequence[str], setting: Setting, checked: bool
    ) -> Tensor:
        visible = Visible.all_of(encoded.frames, encoded.features.device)
        return self._think(encoded, visible, keys, setting, checked=checked).prediction

    def sample(self, context: Clips, setting: Setting, count: int) -> Tensor:
        """Samples `[B, T, N, P, D]` from the variance that the energy stands for, around its
        prediction; that one alone where nothing has taught the energy what it stands for."""
        if not self.config.resolved_energy_loss_weight:
            return super().sample(context, setting, count)
        found = self.predict(context, setting, energies=True)
        assert found.patch_energies is not None
        variance = 2 * found.patch_energies[-1] / found.prediction.shape[-1]
        return spread_around(found.prediction, variance, context.keys, self.start_seed, count)

    def competing(self, context: Clips, setting: Setting) -> Trajectory:
        """All candidates of every next frame, `[M + 1, B, T * N, P, D]`, with their energies.

        The N of a frame lie side by side.
        """
        with torch.no_grad():
            encoded = self.energy.encode(context.embeddings)
            visible = Visible.every(encoded.frames, encoded.features.device)
            return self._compete(encoded, visible, context.keys, expect(setting, Thinking), True)

    def verify(self, context: Clips, candidates: Tensor) -> Tensor:
        """Energies of patches `[B, T, N, P]` of candidates `[B, T, N, P, D]` of every next frame.

        The candidates may come from anywhere; none of them is moved. Gradients reach those that
        want them.
        """
        with torch.no_grad():
            encoded = self.energy.encode(context.embeddings)
        count = candidates.shape[2]
        visible = Visible.every(encoded.frames, candidates.device)
        with torch.set_grad_enabled(candidates.requires_grad):
            energies = self.energy.patch_energies(
                candidates.flatten(1, 2), encoded, visible.repeated(count)
            )
        return energies.unflatten(1, (-1, count))

    def surprises(self, counts: Sequence[int]) -> Sequence[Surprise]:
        """Its energy, besides the distance to its own prediction."""
        return [energy_of(self), *super().surprises(counts)]

    def features(self, context: Clips) -> dict[str, Tensor]:
        """Features of the context, and of the candidates of every next frame after thinking."""
        with torch.no_grad():
            encoded = self.energy.encode(context.embeddings)
            visible = Visible.every(encoded.frames, encoded.features.device)
            thought = self._think(encoded, visible, context.keys, self.trained_setting())
            energy = self.energy
            found = energy.candidate_features(thought.prediction, encoded, visible)
        seen = {"context": encoded.features} if energy.sees_context else {}
        return seen | {"candidate": found}

    def calibrate(self, batch: Clips, noise: float = 1.0) -> None:
        """Calibrate the energy on the starts of a batch; `noise` is their standard deviation."""
        if bool(self.energy.calibrated):
            return
        with torch.no_grad():
            encoded = self.energy.encode(batch.embeddings[:, :-1])
            visible = Visible.every(encoded.frames, encoded.features.device)
            start = self.start(encoded, visible, batch.keys)
        self.energy.calibrate(start, encoded, visible, noise)

    def training_state(self) -> dict[str, Tensor]:
        """The replay buffer."""
        return self._replay.state()

    def load_training_state(self, state: dict[str, Tensor]) -> None:
        """Go on with a replay buffer."""
        self._replay.load(state)

    def training_losses(self, batch: Clips, seed: int) -> Iterator[Tensor]:
        """Smooth-L1 on the candidates after the thinking steps, through the steps.

        With `detach` the losses come one step and one group of frames at a time, and the context
        gathers their gradients as leaves, so that memory grows neither with the number of steps
        nor with that of large frames; last comes a loss of value zero that hands them on to the
        context.
        """
        clips, observed = batch.embeddings, batch.observed
        start = self._mixed_start(
            observed[:, :-1],
            lambda: noise_like(clips[:, 1:], batch.keys, Stream.TRAINING_START, seed),
        ).detach()
        mixed = self._replay.mixed(clips, observed, start, seed)
        encoded = self.energy.encode(mixed.observed[:, :-1])
        if self.config.detach:
            leaves = encoded.detached()
            yield from self._step_losses(leaves, mixed, batch.keys, seed)
            rejoined = encoded.rejoined(leaves)
            if rejoined is not None:
                yield rejoined
        else:
            yield torch.stack(list(self._step_losses(encoded, mixed, batch.keys, seed))).sum()

    def _step_losses(
        self, context: EncodedContext, batch: Replayed, keys: Sequence[str], seed: int
    ) -> Iterator[Tensor]:
        """The part of the training loss that each judged thinking step gives."""
        config, target, candidate = self.config, batch.target[:, 1:], batch.start
        frames = target.shape[1]
        visible = Visible.every(frames, target.device)
        groups = frame_groups(candidate) if config.detach else [slice(None)]
        steps = number_of_steps(config, seed)
        for step in range(1, steps + 1):
            judged = config.loss_at == "each" or step == steps
            start = candidate.detach() if config.detach else candidate
            factors = step_size_factors(start, keys, config, seed, step)
            noise = langevin_noise(start, keys, config, seed, step)
            error = (start.detach() - target).square().sum(-1) / 2  # [B, C, P]
            moved = []
            for group in groups:
                with torch.set_grad_enabled(judged or not config.detach):
                    part, energies = thinking_step(
                        self.energy,
                        start[:, group],
                        context,
                        visible[group],
                        None if factors is None else factors[:, group],
                        None if noise is None else noise[:, group],
                    )
                moved.append(part.detach() if config.detach else part)
                if judged:
                    share = part.shape[1] / frames
                    if config.loss_at == "each":
                        share /= steps
                    loss = F.smooth_l1_loss(part, target[:, group])
                    if weight := config.resolved_energy_loss_weight:
                        loss = loss + weight * deviance(energies, error[:, group])
                    yield loss * share
            candidate = torch.cat(moved, dim=1)
        if config.replay:
            self._replay.keep(batch, candidate)

    def start(
        self, encoded: EncodedContext, visible: Visible, keys: Sequence[str], candidates: int = 1
    ) -> Tensor:
        """Start candidates `[B, C * N, P, D]`, the N of a frame side by side.

        They depend on seed, clip, frame and number of the candidate alone.
        """
        last = encoded.embeddings.index_select(1, visible.repeated(candidates).index - 1)
        return self._mixed_start(
            last, lambda: self._drawn(Stream.START, encoded, visible, keys, candidates)
        )

    def _think(
        self,
        encoded: EncodedContext,
        visible: Visible,
        keys: Sequence[str],
        setting: Setting,
        energies: bool = False,
        checked: bool = True,
    ) -> Trajectory:
        thinking = expect(setting, Thinking)
        candidates, scored = thinking.candidates, energies or thinking.candidates > 1
        found = self._compete(encoded, visible, keys, thinking, scored, checked)
        return found if candidates == 1 else lowest(found, candidates)

    def _compete(
        self,
        encoded: EncodedContext,
        visible: Visible,
        keys: Sequence[str],
        setting: Thinking,
        energies: bool,
        checked: bool = True,
    ) -> Trajectory:
        candidates, sigma = setting.candidates, setting.langevin_noise
        repeated = visible.repeated(candidates)
        if sigma:
            start = self.start(encoded, visible, keys).repeat_interleave(candidates, dim=1)
        else:
            start = self.start(encoded, visible, keys, candidates)

        def noise(step: int) -> Tensor | None:
            if not sigma or step == setting.steps:
                return None
            drawn = self._drawn(Stream.LANGEVIN, encoded, visible, keys, candidates, step)
            return sigma * drawn

        return think(
            self.energy, start, encoded, repeated, setting.steps, keys, energies, noise, checked
        )

    def _drawn(
        self,
        stream: Stream,
        encoded: EncodedContext,
        visible: Visible,
        keys: Sequence[str],
        candidates: int,
        *key: int,
    ) -> Tensor:
        """Noise `[B, C * N, P, D]` for N candidates of each frame, which lie side by side."""
        patches, dim = encoded.embeddings.shape[2:]
        seeds = self.start_seed, *key
        drawn = numbered_noise(stream, seeds, keys, visible.index, patches, dim, candidates)
        return drawn.flatten(1, 2).to(encoded.embeddings)

    def _mixed_start(self, last: Tensor, noise: Callable[[], Tensor]) -> Tensor:
        """Start candidates `[B, C, P, D]`: noise, the `last` visible frames, or between.

        Noise costs more to draw than a small step takes, so it is drawn only where it is used.
        """
        share = self.config.start_noise
        return share * noise() + (1 - share) * last if share else last


def lowest(trajectory: Trajectory, candidates: int) -> Trajectory:
    """Of the N candidates of each frame, side by side, the one of lowest energy at the end."""
    assert trajectory.energies is not None
    assert trajectory.patch_energies is not None
    last = trajectory.energies[-1].unflatten(1, (-1, candidates))  # [B, C, N]
    best = last.argmin(dim=2)  # [B, C]

    def chosen(values: Tensor) -> Tensor:
        values = values.unflatten(2, (-1, candidates))  # [M + 1, B, C, N, P, ...]
        index = best[None, :, :, None, *[None] * (values.dim() - 4)]
        return values.gather(3, index.expand(len(values), -1, -1, 1, *values.shape[4:])).squeeze(3)

    return Trajectory(chosen(trajectory.candidates), chosen(trajectory.patch_energies))
