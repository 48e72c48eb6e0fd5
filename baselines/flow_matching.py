"""Flow matching for the next frame: what its networks share."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.config import FlowConfig
from baselines.flow_sampling import FixedSample, Sampled, Sampler, sampled_settings, solve
from worldmodel.backbone import EncodedContext, Visible
from worldmodel.noise import Stream, keyed_uniform, numbered_noise
from worldmodel.predictor import Clips, Predictor, Setting, Trajectory, counted, expect
from worldmodel.rollout import cached_rollout
from worldmodel.surprise import DENOISING, Surprise, distance_to_nearest_sample

TIME_SCALE = 1000.0  # embeddings of a time are made for steps up to a thousand
SURPRISE_DRAWS = (4, 16)  # numbers of draws of noise by which a candidate is judged


class FlowMatching(Predictor, ABC):
    """Samples the next frame along a flow from noise (Lipman et al., 2023).

    Its network predicts the clean frame at the end of a path from a point on it. In one pass, from
    noise alone, that is the mean of all futures; more passes go on to one of them.
    """

    def __init__(self, config: FlowConfig):
        super().__init__()
        self.config = config

    @abstractmethod
    def encode(self, embeddings: Tensor, past: EncodedContext | None = None) -> EncodedContext:
        """Encode observed frames `[B, T, P, D]` that follow `past`."""

    @abstractmethod
    def clean(
        self, noisy: Tensor, time: Tensor, encoded: EncodedContext, visible: Visible
    ) -> Tensor:
        """The clean frames `[B, C, P, D]` of `noisy` ones, at times that broadcast to `[B, C]`.

        The c-th follows the first `visible.counts[c]` frames of the context.
        """

    def regions(self) -> list[tuple[nn.Module, str]]:
        """Encoding the context, and one pass."""
        return [(self, "encode"), (self, "clean")]

    def settings(self, counts: Sequence[int]) -> Sequence[Setting]:
        """Samples by these numbers of passes, the mean of several, and a fixed one."""
        return sampled_settings(counts, self.config.samples)

    def trained_setting(self) -> Setting:
        """One pass: at every time, training asks for a prediction in one."""
        return Sampled()

    def predict(self, context: Clips, setting: Setting, energies: bool = False) -> Trajectory:
        """Sample every next frame in parallel; the passes between are not kept."""
        (found,) = self.predict_all(context, [setting], energies)
        return found

    def predict_all(
        self, context: Clips, settings: Sequence[Setting], energies: bool = False
    ) -> list[Trajectory]:
        """A trajectory for each setting, on one encoding of the context."""
        ways = [_way(setting) for setting in settings]
        with torch.no_grad():
            encoded, visible = self._encoded(context)
            found = {
                way: self._mean(encoded, visible, context.keys, setting)[None]
                for way, setting in dict(zip(ways, settings, strict=True)).items()
            }
        return [Trajectory(found[way]) for way in ways]

    def sample(self, context: Clips, setting: Setting, count: int) -> Tensor:
        """Samples `[B, T, N, P, D]` of every next frame, by the setting's passes."""
        with torch.no_grad():
            encoded, visible = self._encoded(context)
            return self._samples(encoded, visible, context.keys, setting, count)

    def surprises(self, counts: Sequence[int]) -> Sequence[Surprise]:
        """Its denoising loss and the distance to its nearest sample, besides that to one."""
        denoising = [
            Surprise(DENOISING, counted(draws, "draw"), partial(self._denoising_loss, draws))
            for draws in SURPRISE_DRAWS
        ]
        nearest = distance_to_nearest_sample(self, FixedSample(), self.config.samples)
        return [*denoising, nearest, *super().surprises(counts)]

    def rollout(self, context: Clips, horizon: int, setting: Setting) -> Tensor:
        """Predict `horizon` frames; what is encoded of the context is kept."""

        def next_frame(encoded: EncodedContext) -> Tensor:
            visible = Visible.all_of(encoded.frames, encoded.features.device)
            return self._mean(encoded, visible, context.keys, setting)

        with torch.no_grad():
            return cached_rollout(self.encode, next_frame, context.embeddings, horizon)

    def training_losses(self, batch: Clips, seed: int) -> Iterator[Tensor]:
        """Mean squared error of the clean frames, predicted at random times of their paths.

        Each frame has a time of its own, and a clean context.
        """
        observed, target = batch.observed[:, :-1], batch.embeddings[:, 1:]
        draws, (patches, dim) = self.config.draws, target.shape[2:]
        visible = Visible.every(target.shape[1], target.device)
        key = (seed,), batch.keys, visible.index
        noise = numbered_noise(Stream.TRAINING_FLOW, *key, patches, dim, draws).to(target)
        time = keyed_uniform(Stream.TRAINING_FLOW_TIME, *key, draws).to(target)  # [B, T, N]
        clean = target[:, :, None].expand_as(noise)
        noisy = torch.lerp(noise, clean, time[..., None, None])
        found = self.clean(
            noisy.flatten(1, 2), time.flatten(1, 2), self.encode(observed), visible.repeated(draws)
        )
        yield F.mse_loss(found, clean.flatten(1, 2))

    def noise(
        self, encoded: EncodedContext, visible: Visible, keys: Sequence[str], count: int = 1
    ) -> Tensor:
        """Where samples start `[B, C * N, P, D]`, the N of a frame side by side.

        It depends on seed, clip, frame and number of the sample alone.
        """
        patches, dim = encoded.embeddings.shape[2:]
        seeds = (self.start_seed,)
        drawn = numbered_noise(Stream.FLOW, seeds, keys, visible.index, patches, dim, count)
        return drawn.flatten(1, 2).to(encoded.embeddings)

    def _denoising_loss(self, draws: int, context: Clips, candidates: Tensor) -> Tensor:
        """Squared error `[B, N]` of the clean frame of candidates `[B, N, P, D]`.

        A mean over evenly spaced times, each with noise of its own, which all candidates share.
        """
        with torch.no_grad():
            encoded, count = self.encode(context.embeddings), candidates.shape[1]
        visible = Visible.all_of(encoded.frames, candidates.device)
        noise = self.noise(encoded, visible, context.keys, draws)[:, None]  # [B, 1, S, P, D]
        clean = candidates[:, :, None].expand(-1, -1, draws, -1, -1)
        time = (torch.arange(draws, device=candidates.device) + 0.5) / draws
        noisy = torch.lerp(noise.expand_as(clean), clean, time[:, None, None])
        with torch.set_grad_enabled(candidates.requires_grad):
            found = self.clean(
                noisy.flatten(1, 2),
                time.repeat(count)[None],
                encoded,
                visible.repeated(count * draws),
            )
            return (found.unflatten(1, (count, draws)) - clean).square().mean((2, 3, 4))

    def _encoded(self, context: Clips) -> tuple[EncodedContext, Visible]:
        encoded = self.encode(context.embeddings)
        return encoded, Visible.every(encoded.frames, encoded.features.device)

    def _mean(
        self, encoded: EncodedContext, visible: Visible, keys: Sequence[str], setting: Setting
    ) -> Tensor:
        """The mean `[B, C, P, D]` of as many samples as the setting says."""
        count = expect(setting, Sampled).samples
        return self._samples(encoded, visible, keys, setting, count).mean(2)

    def _samples(
        self,
        encoded: EncodedContext,
        visible: Visible,
        keys: Sequence[str],
        setting: Setting,
        count: int,
    ) -> Tensor:
        """Samples `[B, C, N, P, D]`, all on one context."""
        repeated = visible.repeated(count)

        def clean(noisy: Tensor, time: float) -> Tensor:
            return self.clean(noisy, noisy.new_full((1, 1), time), encoded, repeated)

        start = self.noise(encoded, visible, keys, count)
        return solve(clean, start, expect(setting, Sampled)).unflatten(1, (-1, count))


def _way(setting: Setting) -> tuple[int, Sampler, int]:
    """What of a setting decides its samples: not whether it is fixed."""
    sampled = expect(setting, Sampled)
    return sampled.passes, sampled.sampler, sampled.samples
