"""The Diffusion Transformer of diffusers, as a denoiser of images at a known noise level."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from diffusers.models.embeddings import LabelEmbedding
from diffusers.models.transformers.dit_transformer_2d import DiTTransformer2DModel
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from torch import Tensor, nn

from baselines.config import DiTConfig
from data_prep.errors import InputError
from denoise.config import STEPS, TRAINED_LEVEL, step_of
from denoise.data import Clip, NoisyImages
from denoise.diffusion import FIRST_BETA, LAST_BETA, cumulative_alphas, signal_and_noise
from denoise.model import TrainedDenoiser
from worldmodel.attention import at_least_float32
from worldmodel.config import BackboneConfig
from worldmodel.predictor import Clips, Passes, Setting, Trajectory, counted, expect

PredictNoise = Callable[[Tensor, int], Tensor]


class Sampler(StrEnum):
    """How several passes of a DiT make one image."""

    DDIM = "ddim"
    DPM_SOLVER = "dpm_solver++"


@dataclass(frozen=True)
class Sampling(Passes):
    """A number of passes with a sampler, from the step that the noisy images name.

    One pass is the x0 prediction, whatever the sampler; it has none.

    Raises:
        ValueError: several passes without a sampler, or a sampler that is not known.
    """

    passes: int = 1
    sampler: Sampler | None = None

    def __post_init__(self) -> None:
        if self.passes > 1:
            Sampler(self.sampler or "")

    @property
    def label(self) -> str:
        """Such as `ddim, 10 passes`."""
        passes = counted(self.passes, "pass")
        return f"{self.sampler}, {passes}" if self.sampler else "x0, 1 pass"


@dataclass(frozen=True)
class PublishedSampling(Setting):
    """The published protocol: DDIM with a pass for every step from the image's own t down to 0.

    The clean image of every pass is clipped to [-1, 1]. The output is taken for the noisy image
    again, `recursions` times in all: 100 or 300 passes at level 0.1, 200 or 600 at level 0.2.
    """

    fixed: ClassVar[bool] = True

    recursions: int = 1

    @property
    def label(self) -> str:
        """Such as `published, recursed 2 times`."""
        more = self.recursions - 1
        return f"published, recursed {counted(more, 'time')}" if more else "published, once"

    @property
    def order(self) -> float:
        """The number of passes at the level of training."""
        return (step_of(TRAINED_LEVEL) + 1) * self.recursions


class DiffusionDenoiser(TrainedDenoiser):
    """A network that predicts the noise, and the ways to sample from it.

    Args:
        levels: lowest and highest level of the noise in training.
        recursions: numbers of runs of the published protocol, each evaluated as a row of its own.
            Where there are any, training is judged by the first.
    """

    told_noise = True

    def __init__(self, levels: list[float], recursions: Sequence[int] = ()):
        super().__init__(levels)
        self.recursions = recursions

    def predict_noise(self, noisy: Tensor, step: Tensor | int) -> Tensor:
        """The noise in `noisy [B, 1, P, D]` at one diffusion step, or at steps `[B]`."""
        raise NotImplementedError

    def settings(self, counts: Sequence[int]) -> Sequence[Setting]:
        """Every number of passes with each sampler, then the published protocol.

        A model that was trained on a single level has no other to pass through: its x0 prediction
        alone.
        """
        if self.first_step == self.last_step:
            return [Sampling()]
        more = sorted(passes for passes in counts if passes > 1)
        return [
            Sampling(),
            *(Sampling(passes, sampler) for passes in more for sampler in Sampler),
            *(PublishedSampling(times) for times in self.recursions),
        ]

    def trained_setting(self) -> Setting:
        """The x0 prediction, which needs no sampler; where it is asked for, published sampling."""
        return PublishedSampling(self.recursions[0]) if self.recursions else Sampling()

    def predict(self, context: Clips, setting: Setting, energies: bool = False) -> Trajectory:
        """Sample from the noise level that `context` names; the steps between are not kept."""
        assert isinstance(context, NoisyImages)
        # An image whose clean part was not shrunk, as diffusion shrinks it, is shrunk here.
        signal, _ = signal_and_noise(context.step)
        noisy = context.embeddings * (signal / context.signal)
        with torch.no_grad():
            if isinstance(setting, PublishedSampling):
                if context.clip is None:
                    raise ValueError("published sampling clips pixels, and has no way to them here")
                prediction, passes = noisy, context.step + 1
                for _ in range(setting.recursions):
                    prediction = ddim(
                        self.predict_noise, prediction, context.step, passes, context.clip
                    )
            else:
                sampling = expect(setting, Sampling)
                sample = dpm_solver if sampling.sampler == Sampler.DPM_SOLVER else ddim
                prediction = sample(self.predict_noise, noisy, context.step, sampling.passes)
        return Trajectory(torch.stack([context.embeddings, prediction]))

    def features(self, context: Clips) -> dict[str, Tensor]:
        """Features after each block, at the noise that the images name."""
        assert isinstance(context, NoisyImages)
        found: dict[str, Tensor] = {}

        def keep(place: str) -> Callable[[Any, Any, Tensor], None]:
            return lambda block, given, tokens: found.update({place: tokens[:, None]})

        blocks: Any = self.blocks
        places = [f"block {number} of {len(blocks)}" for number in range(1, len(blocks) + 1)]
        hooks = [
            block.register_forward_hook(keep(place))
            for block, place in zip(blocks, places, strict=True)
        ]
        try:
            with torch.no_grad():
                self.predict_noise(context.embeddings, context.step)
        finally:
            for hook in hooks:
                hook.remove()
        return found  # [B, 1, P, W] each


class DiTDenoiser(DiffusionDenoiser):
    """DiT (Peebles and Xie, 2023) predicting the noise, with as many blocks as the EBT."""

    def __init__(
        self, config: DiTConfig, backbone: BackboneConfig, grid: tuple[int, int], dim: int
    ):
        super().__init__(config.levels)
        self.config, self.grid = config, grid
        self.dit = dit_of_patches(backbone, grid, dim, dim)

    @property
    def backbone(self) -> nn.Module:
        """The whole network."""
        return self.dit

    @property
    def blocks(self) -> nn.Module:
        """The transformer blocks, each with its own conditioning on the step."""
        return self.dit.transformer_blocks

    def predict_noise(self, noisy: Tensor, step: Tensor | int) -> Tensor:
        """The noise in `noisy [B, 1, P, D]` at one diffusion step, or at steps `[B]`."""
        batch = len(noisy)
        steps = torch.as_tensor(step, device=noisy.device).expand(batch)
        image = noisy[:, 0].transpose(1, 2).unflatten(2, self.grid)  # [B, D, rows, columns]
        classes = torch.zeros(batch, dtype=torch.long, device=noisy.device)
        noise = self.dit(image, steps, class_labels=classes).sample
        return at_least_float32(noise.flatten(2).transpose(1, 2)[:, None])  # [B, 1, P, D]

    def denoising_losses(
        self, batch: Clips, noisy: Tensor, noise: Tensor, step: Tensor, seed: int
    ) -> Iterator[Tensor]:
        """Mean squared error of the predicted noise (Ho et al., 2020, equation 14).

        With `min_snr` weighted by min(SNR, gamma) / SNR (Hang et al., 2023, equation 8): the steps
        of little noise, where it can hardly be predicted, would drown the others.
        """
        error = F.mse_loss(self.predict_noise(noisy, step), noise, reduction="none").mean((1, 2, 3))
        if self.config.min_snr is not None:
            alpha = cumulative_alphas().to(error)[step]
            ratio = alpha / (1 - alpha)  # [B]
            error = error * ratio.clamp_max(self.config.min_snr) / ratio
        yield error.mean()


def dit_of_patches(
    backbone: BackboneConfig, grid: tuple[int, int], observed: int, predicted: int
) -> DiTTransformer2DModel:
    """A DiT without classes whose tokens are patches, with `observed` and `predicted` channels.

    Raises:
        InputError: the grid is not square.
    """
    if grid[0] != grid[1]:
        raise InputError(f"dit: frames of {grid[0]}x{grid[1]} patches; they must be square")
    dit = DiTTransformer2DModel(
        num_attention_heads=backbone.heads,
        attention_head_dim=backbone.width // backbone.heads,
        in_channels=observed,
        out_channels=predicted,
        num_layers=backbone.layers,
        sample_size=grid[0],
        patch_size=1,  # a patch embedding is one token
        num_embeds_ada_norm=1,  # no classes
    )
    keep_labels(dit)
    zero_initialise(dit)
    return dit


def keep_labels(dit: DiTTransformer2DModel) -> None:
    """Never drop a label, as diffusers does with one in ten while it trains.

    There is a single class, and what would stand for a dropped one would be drawn from torch's own
    generator, which a resumed training does not go on with.
    """
    blocks: Any = dit.transformer_blocks
    for block in blocks:
        block.norm1.emb.class_embedder = LabelEmbedding(1, dit.inner_dim, dropout_prob=0.0)


def zero_initialise(dit: DiTTransformer2DModel) -> None:
    """adaLN-Zero (Peebles and Xie, 2023, section 3.2), which diffusers leaves to the caller.

    Every block starts as the identity and the output at zero.
    """
    blocks: Any = dit.transformer_blocks
    for layer in (*(block.norm1.linear for block in blocks), dit.proj_out_1, dit.proj_out_2):
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)


def sampling_steps(start: int, passes: int) -> list[int]:
    """Diffusion steps from `start` down, evenly spaced: 99 in 10 passes is 99, 89, ..., 9."""
    return [round((start + 1) * (1 - index / passes)) - 1 for index in range(passes)]


def ddim(
    predict_noise: PredictNoise, noisy: Tensor, start: int, passes: int, clip: Clip | None = None
) -> Tensor:
    """DDIM without noise (Song et al., 2021, equation 12) from any step to the clean image.

    With `clip` the clean image of every pass is clipped by it, and the noise is what then remains.
    """
    alphas = [*cumulative_alphas()[sampling_steps(start, passes)].tolist(), 1.0]
    for index, step in enumerate(sampling_steps(start, passes)):
        alpha, following = alphas[index], alphas[index + 1]
        noise = predict_noise(noisy, step)
        clean = (noisy - (1 - alpha) ** 0.5 * noise) / alpha**0.5
        if clip is not None:
            clean = clip(clean)
            noise = (noisy - alpha**0.5 * clean) / (1 - alpha) ** 0.5
        noisy = following**0.5 * clean + (1 - following) ** 0.5 * noise
    return noisy


def dpm_solver(predict_noise: PredictNoise, noisy: Tensor, start: int, passes: int) -> Tensor:
    """DPM-Solver++ of second order (Lu et al., 2022) from any step to the clean image."""
    scheduler = DPMSolverMultistepScheduler(
        num_train_timesteps=STEPS,
        beta_start=FIRST_BETA,
        beta_end=LAST_BETA,
        beta_schedule="linear",
        algorithm_type="dpmsolver++",
        final_sigmas_type="zero",
    )
    scheduler.set_timesteps(timesteps=sampling_steps(start, passes), device=noisy.device)
    for step in scheduler.timesteps:
        noise = predict_noise(noisy, int(step))
        noisy = scheduler.step(noise, step, noisy).prev_sample
    return noisy
