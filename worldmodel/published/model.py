"""The published EBT on video as a predictor (arXiv 2507.02092, section 3, and its public code).

Letters in shapes: B batch, T frames, N candidates per prediction, P patches per frame, D embedding
width, W model width, M thinking steps.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from worldmodel.backbone import Visible
from worldmodel.config import BackboneConfig
from worldmodel.next_frame import MANY_DRAWS, lowest
from worldmodel.noise import Stream
from worldmodel.predictor import (
    Clips,
    Predictor,
    Setting,
    Thinking,
    Trajectory,
    expect,
    predict_longest,
)
from worldmodel.published.config import PublishedEBTConfig
from worldmodel.published.energy import PublishedEnergy
from worldmodel.published.noise import KeyedNoise, Noise
from worldmodel.published.replay import PublishedReplay, Rows
from worldmodel.published.thinking import (
    Draws,
    Landscapes,
    PublishedThinking,
    needed_landscapes,
    think,
)
from worldmodel.published.training import training_steps
from worldmodel.surprise import Surprise, energy_of


class PublishedEBT(Predictor):
    """Predict the next frame by descending the published energy, one landscape after another.

    The patches of a frame make one token. A prediction takes a step in each landscape in turn, and
    all further ones in the last. Energies of candidates are read in the last landscape; a frame has
    one, of which each patch gets an equal part.

    `noise` is the source of every random draw.
    """

    noise: Noise

    def __init__(
        self, config: PublishedEBTConfig, backbone: BackboneConfig, grid: tuple[int, int], dim: int
    ):
        super().__init__()
        self.config = config
        self.frame = (grid[0] * grid[1], dim)
        self.energy = PublishedEnergy(config, backbone, grid[0] * grid[1] * dim)
        self.noise = KeyedNoise()
        self._replay = PublishedReplay(config.replay)

    @property
    def backbone(self) -> nn.Module:
        """The stack of both streams."""
        return self.energy.backbone

    def regions(self) -> list[tuple[nn.Module, str]]:
        """Encoding the context, and one step's energy and gradient."""
        return [(self.energy, "encode"), (self.energy, "input_gradient")]

    def settings(self, counts: Sequence[int]) -> Sequence[Setting]:
        """A setting for each number of thinking steps, then the published inference if asked."""
        config = self.config
        plain = [Thinking(steps) for steps in sorted({*counts, config.training_steps})]
        if config.inference_steps is None:
            return plain
        published = PublishedThinking(
            config.inference_steps,
            config.inference_samples,
            step_size=config.inference_step_size,
            projected_noise=config.inference_langevin_noise,
        )
        return [*plain, published]

    def trained_setting(self) -> Setting:
        """As many thinking steps as published validation takes."""
        return Thinking(self.config.training_steps)

    @property
    def training_draws(self) -> int:
        """Many where the number of thinking steps is drawn."""
        return MANY_DRAWS if self.config.least_visits < self.config.most_visits else 1

    @property
    def added_rows(self) -> float:
        """Clips from the replay buffer."""
        return self.config.replay_share if self.config.replay else 0.0

    def predict(self, context: Clips, setting: Setting, energies: bool = False) -> Trajectory:
        """Think about every next frame in parallel."""
        thinking = expect(setting, Thinking)
        found = self._compete(context, thinking, energies)
        if thinking.candidates == 1:
            return found
        chosen = lowest(found, thinking.candidates)
        return chosen if energies else Trajectory(chosen.candidates)

    def predict_all(
        self, context: Clips, settings: Sequence[Setting], energies: bool = False
    ) -> list[Trajectory]:
        """A trajectory for each setting: those of plain thinking are parts of one."""
        if any(setting != Thinking(setting.count or 0) for setting in settings):
            return super().predict_all(context, settings, energies)
        return predict_longest(self, context, settings, energies)

    def rollout(self, context: Clips, horizon: int, setting: Setting) -> Tensor:
        """Predict `horizon` frames with a key/value cache for each landscape.

        Raises:
            NonFiniteError: an energy or candidate is not finite.
        """
        thinking, new = expect(setting, Thinking), context.embeddings
        landscapes: Landscapes = {}
        frames: list[Tensor] = []
        with torch.no_grad():
            while len(frames) < horizon:
                landscapes = self._encode(new, thinking, False, landscapes)
                visible = Visible.all_of(context.embeddings.shape[1] + len(frames), new.device)
                found = self._think(landscapes, visible, context.keys, thinking, False)
                if thinking.candidates > 1:
                    found = lowest(found, thinking.candidates)
                new = found.prediction
                frames.append(new)
        return torch.cat(frames, dim=1)

    def competing(self, context: Clips, setting: Setting) -> Trajectory:
        """All candidates of every next frame, `[M + 1, B, T * N, P, D]`, with their energies.

        The N of a frame lie side by side.
        """
        return self._compete(context, expect(setting, Thinking), energies=True)

    def surprises(self, counts: Sequence[int]) -> Sequence[Surprise]:
        """Its energy, besides the distance to its own prediction."""
        return [energy_of(self), *super().surprises(counts)]

    def verify(self, context: Clips, candidates: Tensor) -> Tensor:
        """Energies of patches `[B, T, N, P]` of candidates `[B, T, N, P, D]` of every next frame.

        They are read in the last landscape. The candidates may come from anywhere; none is moved.
        Gradients reach those that want them.
        """
        frames, count = candidates.shape[1:3]
        with torch.no_grad():
            encoded = self.energy.encode(context.embeddings.flatten(2), self.energy.landscapes - 1)
        visible = Visible.every(frames, candidates.device).repeated(count)
        with torch.set_grad_enabled(candidates.requires_grad):
            energies = self.energy(candidates.flatten(3).flatten(1, 2), encoded, visible)
        return self._of_patches(energies).unflatten(1, (frames, count))

    def features(self, context: Clips) -> dict[str, Tensor]:
        """Features of the context, and of the candidates of every next frame after thinking.

        They are `[B, T, 1, W]`, of one token per frame, in the last landscape.
        """
        thought = self.predict(context, self.trained_setting()).prediction.flatten(2)
        with torch.no_grad():
            encoded = self.energy.encode(context.embeddings.flatten(2), self.energy.landscapes - 1)
            visible = Visible.every(thought.shape[1], thought.device)
            found = self.energy.features(thought, encoded, visible)
        return {"context": encoded.features[:, 1:], "candidate": found[:, :, None]}

    def rate_multiples(self) -> list[tuple[nn.Parameter, float]]:
        """The step size learns in proportion to what it starts from."""
        size = self.energy.raw_step_size
        multiple = self.config.step_size_rate * float(size.detach())
        return [(size, multiple)] if size.requires_grad else []

    @property
    def calibrating_clips(self) -> int:
        """As many clips as the projection has components, where it is set from them."""
        if self.config.projection == "pca":
            return self.energy.width
        return super().calibrating_clips

    def calibrate(self, batch: Clips) -> None:
        """Set a projection on principal components, and the step size, each where asked for."""
        if self.config.projection == "pca":
            self.energy.project_on_components(batch.embeddings.flatten(2).flatten(0, 1))
        if bool(self.energy.calibrated):
            return
        with torch.no_grad():
            context = batch.embeddings[:, :-1].flatten(2)
            visible = Visible.every(context.shape[1], context.device)
            start = self._start(self._draws(visible, batch.keys, 1))
            encoded = self.energy.encode(context, landscape=0)
            gradient, _ = self.energy.input_gradient(start, encoded, visible)
        self.energy.calibrate(gradient)

    def training_state(self) -> dict[str, Tensor]:
        """The replay buffer."""
        return self._replay.state()

    def load_training_state(self, state: dict[str, Tensor]) -> None:
        """Go on with a replay buffer."""
        self._replay.load(state)

    def training_losses(self, batch: Clips, seed: int) -> Iterator[Tensor]:
        """Smooth-L1 on the candidates after the judged thinking steps, through the steps.

        The mean over these steps. With `detach` the losses come one step at a time.
        """
        steps = training_steps(self.energy, self.config, self.noise, self._rows(batch, seed), seed)
        if self.config.detach:
            for step in steps:
                candidates = step.candidates.detach()
                if step.loss is not None:
                    yield step.loss
        else:
            taken = list(steps)
            candidates = taken[-1].candidates
            yield torch.stack([step.loss for step in taken if step.loss is not None]).sum()
        if self.config.replay:
            clips = batch.embeddings.flatten(2)
            self._replay.keep(clips, candidates[: len(clips)])

    def _rows(self, batch: Clips, seed: int) -> Rows:
        """The clips of a batch, and after them replayed ones."""
        context, target = batch.observed[:, :-1].flatten(2), batch.embeddings[:, 1:].flatten(2)
        count = min(int(len(target) * self.config.replay_share), len(self._replay))
        places = self.noise.chosen(Stream.TRAINING_REPLAY, (seed,), len(self._replay), count)
        return self._replay.read(batch.keys, context, target, places)

    def _compete(self, context: Clips, setting: Thinking, energies: bool) -> Trajectory:
        """All candidates of every next frame, the N of a frame side by side."""
        with torch.no_grad():
            landscapes = self._encode(context.embeddings, setting, energies, {})
            visible = Visible.every(context.embeddings.shape[1], context.embeddings.device)
            return self._think(landscapes, visible, context.keys, setting, energies)

    def _encode(
        self, embeddings: Tensor, setting: Thinking, energies: bool, past: Landscapes
    ) -> Landscapes:
        """Encode new frames `[B, T, P, D]` in every landscape that a prediction needs."""
        judged = energies or setting.candidates > 1
        return {
            landscape: self.energy.encode(embeddings.flatten(2), landscape, past.get(landscape))
            for landscape in needed_landscapes(self.energy, setting.steps, judged)
        }

    def _think(
        self,
        landscapes: Landscapes,
        visible: Visible,
        keys: Sequence[str],
        setting: Thinking,
        energies: bool,
    ) -> Trajectory:
        """Descend from noise; where candidates compete, or are told apart by noise, all of them."""
        count, projected = setting.candidates, self.config.langevin_noise
        if isinstance(setting, PublishedThinking) and setting.projected_noise is not None:
            projected = setting.projected_noise
        if setting.langevin_noise:
            start = self._start(self._draws(visible, keys, 1)).repeat_interleave(count, dim=1)
        else:
            start = self._start(self._draws(visible, keys, count))
        candidates, values = think(
            self.energy,
            start,
            landscapes,
            visible.repeated(count),
            setting,
            projected,
            self._draws(visible, keys, count),
            energies,
        )
        judged = None if values is None else self._of_patches(values)
        return Trajectory(candidates.unflatten(3, self.frame), judged)

    def _draws(self, visible: Visible, keys: Sequence[str], candidates: int) -> Draws:
        return Draws(self.noise, self.start_seed, keys, visible.index, candidates)

    def _start(self, draws: Draws) -> Tensor:
        """Start candidates `[B, C * N, P * D]`."""
        drawn = draws.normal(Stream.START, self.frame[0] * self.frame[1])
        noise = self.config.start_noise * drawn.to(self.energy.project.weight)
        return self.energy.start(noise, self.config.retained_noise)

    def _of_patches(self, energies: Tensor) -> Tensor:
        """Energies of frames `[...]` in equal parts for their patches `[..., P]`."""
        patches = self.frame[0]
        return (energies / patches)[..., None].expand(*energies.shape, patches)
