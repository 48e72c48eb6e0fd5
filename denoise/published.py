"""The published energy-based transformer on images, equal to it in numbers.

arXiv 2507.02092, section 4.3, and its public implementation. Letters in shapes: B images,
N candidates per image, P patches, D embedding width, W model width.
"""

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from denoise.adaptive import AdaptiveTransformer
from denoise.config import PublishedEBTDenoiserConfig
from denoise.diffusion import diffuse, signal_and_noise
from denoise.model import TrainedDenoiser
from worldmodel.config import BackboneConfig
from worldmodel.energy import CALIBRATED_RMS
from worldmodel.next_frame import MANY_DRAWS
from worldmodel.noise import Stream, keyed_uniform, noise_like, stream_generator
from worldmodel.predictor import (
    Clips,
    Setting,
    Thinking,
    Trajectory,
    expect,
    predict_longest,
)
from worldmodel.surprise import Surprise, energy_of
from worldmodel.thinking import require_finite

LEAST_STEP_SIZE = 1e-4


class ImageEnergy(AdaptiveTransformer):
    """E(image): the mean over patches of a linear readout, under one learned condition.

    The energy sees nothing but its candidate: no noisy image, no level, no number of the step.
    """

    def __init__(self, config: BackboneConfig, grid: tuple[int, int], dim: int):
        super().__init__(config, grid, dim, outputs=1, bias=False)
        self.condition = nn.Parameter(torch.randn(1, config.width))

    def forward(self, candidates: Tensor) -> Tensor:
        """Energies `[B, N, P]` of the patches of candidates `[B, N, P, D]`.

        The sum over patches is the energy of a candidate, the published mean over tokens.
        """
        energies = self.read(candidates.flatten(0, 1), self.condition).squeeze(2)
        return energies.unflatten(0, candidates.shape[:2]) / candidates.shape[2]

    def input_gradient(
        self, candidates: Tensor, differentiable: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Gradient `[B, N, P, D]` of the energies on their candidates, and the patch energies.

        Where `differentiable`, losses can be back-propagated through both.
        """
        if torch.compiler.is_compiling():  # it traces this transform, and not autograd.grad
            with torch.set_grad_enabled(differentiable):
                return self._traced_gradient(candidates)
        with torch.enable_grad():
            if not candidates.requires_grad:
                candidates = candidates.detach().requires_grad_()
            energies = self(candidates)
            (gradient,) = torch.autograd.grad(
                energies.sum(), candidates, create_graph=differentiable
            )
        return gradient, energies if differentiable else energies.detach()

    def _traced_gradient(self, candidates: Tensor) -> tuple[Tensor, Tensor]:
        """The same, as a transform of the energy."""

        def summed(candidates: Tensor) -> tuple[Tensor, Tensor]:
            energies = self(candidates)
            return energies.sum(), energies

        found: tuple[Tensor, Tensor] = torch.func.grad(summed, has_aux=True)(candidates)
        return found

    def features(self, candidates: Tensor) -> dict[str, Tensor]:
        """Features `[B, N, P, W]` of candidates `[B, N, P, D]` after each block."""
        count = len(self.blocks)
        after = self.after_blocks(candidates.flatten(0, 1), self.condition)
        return {
            f"block {number} of {count}": tokens.unflatten(0, candidates.shape[:2])
            for number, tokens in enumerate(after, 1)
        }


class Draws:
    """Every random draw of thinking but the noise on the image; each depends on its key alone.

    A subclass may draw otherwise.
    """

    def steps(self, least: int, most: int, seed: int) -> int:
        """A number of thinking steps in training, from `least` to `most`."""
        generator = stream_generator(Stream.TRAINING_STEPS, seed)
        return least + int(torch.randint(most - least + 1, (), generator=generator))

    def step_size_share(self, like: Tensor, keys: Sequence[str], seed: int) -> Tensor:
        """Where the step size of each image lies in its range in training: `[B, 1, 1, 1]`."""
        only = torch.zeros(1, dtype=torch.long, device=like.device)
        share = keyed_uniform(Stream.TRAINING_STEP_SIZE, (seed,), keys, only)  # [B, 1, 1]
        return share[..., None].to(like)

    def langevin(self, like: Tensor, keys: Sequence[str], stream: Stream, *seeds: int) -> Tensor:
        """Standard normal noise on candidates `[B, N, P, D]`."""
        return noise_like(like, keys, stream, *seeds)


class Step(NamedTuple):
    """A thinking step in training: candidates `[B, 1, P, D]` after it, energies before it.

    `judged` says whether the loss is taken there. Energies are those of patches `[B, 1, P]`.
    """

    candidates: Tensor
    energies: Tensor
    judged: bool


@dataclass(frozen=True)
class PublishedThinking(Thinking):
    """Thinking by the published inference, with a step size and a Langevin noise of its own.

    `step_size` and `own_noise` are None where they are as in training.
    """

    fixed: ClassVar[bool] = True

    step_size: float | None = None
    own_noise: float | None = None

    @property
    def label(self) -> str:
        """Such as `published, 2 steps`."""
        return f"published, {super().label}"


class PublishedEBTDenoiser(TrainedDenoiser):
    """Denoise by descending the energy of the image from the noisy one (arXiv 2507.02092, 4.3).

    Its settings are numbers of thinking steps. Several candidates of an image part by Langevin
    noise, and the one of lowest energy is the prediction. `draws` is the source of every random
    draw.
    """

    draws: Draws
    calibrated: Tensor

    def __init__(
        self,
        config: PublishedEBTDenoiserConfig,
        backbone: BackboneConfig,
        grid: tuple[int, int],
        dim: int,
    ):
        super().__init__(config.levels)
        self.config = config
        self.energy = ImageEnergy(backbone, grid, dim)
        self.step_size = nn.Parameter(
            torch.tensor(config.step_size), requires_grad=config.learn_step_size
        )
        self.register_buffer("calibrated", torch.tensor(not config.calibrate))
        self.draws = Draws()

    @property
    def backbone(self) -> nn.Module:
        """The energy."""
        return self.energy

    def regions(self) -> list[tuple[nn.Module, str]]:
        """One step's energy and gradient; nothing where blocks are recomputed.

        torch.compile does not trace the gradient through blocks that are.
        """
        return [] if self.energy.recomputes else [(self.energy, "input_gradient")]

    def rate_multiples(self) -> list[tuple[nn.Parameter, float]]:
        """The step size with its own learning rate, as a multiple of the model's."""
        if not self.config.learn_step_size:
            return []
        return [(self.step_size, self.config.step_size_rate * float(self.step_size.detach()))]

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
            own_noise=config.inference_langevin_noise,
        )
        return [*plain, published]

    def trained_setting(self) -> Setting:
        """As many thinking steps as training takes at most."""
        return Thinking(self.config.training_steps)

    @property
    def training_draws(self) -> int:
        """Many where the number of thinking steps is drawn."""
        return MANY_DRAWS if self.config.least_steps < self.config.most_steps else 1

    def predict(self, context: Clips, setting: Setting, energies: bool = False) -> Trajectory:
        """Think about the clean images `[B, 1, P, D]`.

        With Langevin noise the energies are those of the noisy candidates, but for the last ones.

        Raises:
            NonFiniteError: an energy or candidate is not finite.
        """
        thinking = expect(setting, Thinking)
        found = self._descend(context, thinking, energies or thinking.candidates > 1)
        return _lowest(found) if thinking.candidates > 1 else found

    def predict_all(
        self, context: Clips, settings: Sequence[Setting], energies: bool = False
    ) -> list[Trajectory]:
        """A trajectory for each setting: those of plain thinking are parts of one."""
        if any(setting != Thinking(setting.count or 0) for setting in settings):
            return super().predict_all(context, settings, energies)
        return predict_longest(self, context, settings, energies)

    def competing(self, context: Clips, setting: Setting) -> Trajectory:
        """All candidates of every image, `[M + 1, B, N, P, D]`, with their energies."""
        return self._descend(context, expect(setting, Thinking), scored=True)

    def surprises(self, counts: Sequence[int]) -> Sequence[Surprise]:
        """Its energy, besides the distance to its own prediction."""
        return [energy_of(self), *super().surprises(counts)]

    def verify(self, context: Clips, candidates: Tensor) -> Tensor:
        """Energies of patches `[B, 1, N, P]` of candidates `[B, 1, N, P, D]` of every image.

        The candidates may come from anywhere; none of them is moved. Gradients reach those that
        want them.
        """
        with torch.set_grad_enabled(candidates.requires_grad):
            energies: Tensor = self.energy(candidates[:, 0])
        return energies[:, None]

    def features(self, context: Clips) -> dict[str, Tensor]:
        """Features `[B, 1, P, W]` after each block, of the candidate after thinking."""
        prediction = self.predict(context, self.trained_setting()).prediction
        with torch.no_grad():
            return self.energy.features(prediction)

    def calibrate(self, batch: Clips) -> None:
        """Set the step size on a batch of clean images, at the highest level, where that is asked.

        The first update gets an RMS of 0.3 of the noise. The published energy starts at zero, so
        the gradient is that of an energy whose last layer starts like all others.

        Raises:
            FloatingPointError: the gradient is zero or not finite.
        """
        if bool(self.calibrated):
            return
        clean = batch.embeddings
        step = torch.full((len(clean),), self.last_step, device=clean.device)
        noisy = diffuse(clean, step, noise_like(clean, batch.keys, Stream.CALIBRATION))
        probe = copy.deepcopy(self.energy)
        last = torch.empty(probe.readout.linear.weight.shape)
        nn.init.xavier_uniform_(last, generator=stream_generator(Stream.CALIBRATION))
        with torch.no_grad():
            probe.readout.linear.weight.copy_(last)
        gradient, _ = probe.input_gradient(noisy)
        rms = float(gradient.square().mean().sqrt())
        if not (math.isfinite(rms) and rms > 1e-12):
            raise FloatingPointError(f"the energy's gradient at the start has an RMS of {rms}")
        with torch.no_grad():
            self.step_size.fill_(CALIBRATED_RMS * signal_and_noise(self.last_step)[1] / rms)
            self.calibrated.fill_(True)

    def denoising_losses(
        self, batch: Clips, noisy: Tensor, noise: Tensor, step: Tensor, seed: int
    ) -> Iterator[Tensor]:
        """Smooth-L1 after the judged thinking steps, a mean over them.

        With `detach` the losses come one step at a time.
        """
        taken, config = self._number_of_steps(seed), self.config
        share = 1.0 if config.truncate else 1 / taken
        losses = (
            share * F.smooth_l1_loss(found.candidates, batch.embeddings)
            for found in self.training_thoughts(noisy, batch.keys, seed)
            if found.judged
        )
        if config.detach:
            yield from losses
        else:
            yield torch.stack(list(losses)).sum()

    def training_thoughts(self, noisy: Tensor, keys: Sequence[str], seed: int) -> Iterator[Step]:
        """The thinking steps of a training step from noisy images `[B, 1, P, D]`, one by one."""
        config, candidates = self.config, noisy
        taken, factors = self._number_of_steps(seed), self._step_size_factors(noisy, keys, seed)
        for number in range(1, taken + 1):
            judged = not config.truncate or number == taken
            if config.detach:
                candidates = candidates.detach()
            if config.langevin_noise:
                drawn = self.draws.langevin(noisy, keys, Stream.TRAINING_LANGEVIN, seed, number)
                candidates = candidates + config.langevin_noise * drawn
            gradient, energies = self.energy.input_gradient(candidates, differentiable=judged)
            candidates = candidates - self._clamped_step_size() * factors * gradient
            yield Step(candidates, energies, judged)

    def _number_of_steps(self, seed: int) -> int:
        return self.draws.steps(self.config.least_steps, self.config.most_steps, seed)

    def _step_size_factors(self, noisy: Tensor, keys: Sequence[str], seed: int) -> Tensor | float:
        """What multiplies the step size of each image `[B, 1, 1, 1]`: uniform in [1 / x, x]."""
        largest = self.config.random_step_size
        if largest == 1:
            return 1.0
        share = self.draws.step_size_share(noisy, keys, seed)
        return 1 / largest + share * (largest - 1 / largest)

    def _clamped_step_size(self) -> Tensor:
        return self.step_size.clamp_min(LEAST_STEP_SIZE)

    def _descend(self, context: Clips, setting: Thinking, scored: bool) -> Trajectory:
        """Trajectory of N candidates; where `scored`, a further pass gives the last energies."""
        size: Tensor | float = self._clamped_step_size().detach()
        if isinstance(setting, PublishedThinking) and setting.step_size is not None:
            size = setting.step_size
        with torch.inference_mode(False), torch.no_grad():
            # A copy, because what was made in inference mode takes no part in gradients.
            start = context.embeddings.expand(-1, setting.candidates, -1, -1).clone()
            candidates, values = [start], []
            for number in range(1, setting.steps + 1):
                moved = candidates[-1]
                if spread := self._langevin_noise(setting, number):
                    seeds = (self.start_seed, number)
                    drawn = self.draws.langevin(start, context.keys, Stream.LANGEVIN, *seeds)
                    moved = moved + spread * drawn
                gradient, energies = self.energy.input_gradient(moved)
                candidates.append(moved - size * gradient)
                values.append(energies)
            require_finite(candidates[1:], values, context.keys)
            if scored:
                values.append(self.energy(candidates[-1]))
        return Trajectory(torch.stack(candidates), torch.stack(values) if scored else None)

    def _langevin_noise(self, setting: Thinking, number: int) -> float:
        """Standard deviation of the noise that moves candidates before a step of a prediction.

        The model's own noise comes before every step. That of a setting which tells candidates
        apart takes its place, and spares the start.
        """
        if setting.langevin_noise:
            return setting.langevin_noise if number > 1 else 0.0
        if isinstance(setting, PublishedThinking) and setting.own_noise is not None:
            return setting.own_noise
        return self.config.langevin_noise


def _lowest(found: Trajectory) -> Trajectory:
    """The candidate `[M + 1, B, 1, P, D]` of each image whose energy is lowest in the end."""
    assert found.energies is not None
    assert found.patch_energies is not None
    best = found.energies[-1].argmin(dim=1)  # [B]
    images = torch.arange(len(best), device=best.device)
    return Trajectory(
        found.candidates[:, images, best][:, :, None],
        found.patch_energies[:, images, best][:, :, None],
    )
