"""A trained EBT that denoises, with its encoder: an image in, an image out."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from data_prep.encoders.base import Encoder
from data_prep.errors import InputError
from denoise.model import EBTDenoiser
from denoise.published import PublishedEBTDenoiser
from denoise.whole_images import Tiling, denoise_whole
from worldmodel.loading import shared_config, shared_encoder
from worldmodel.predictor import Thinking

EBT = EBTDenoiser | PublishedEBTDenoiser
CLASSES: dict[str, type[EBT]] = {c.__name__: c for c in (EBTDenoiser, PublishedEBTDenoiser)}
TILES_AT_ONCE = 64


@dataclass(frozen=True)
class ImageModel:
    """An EBT that denoises images `[3, height, width]` of any size; made by `load`.

    It runs in overlapping tiles of the size that it was trained on.
    """

    denoiser: EBT
    encoder: Encoder
    size: int

    def denoise(self, noisy: Tensor, sigma: float, steps: int | None = None) -> Tensor:
        """Remove Gaussian noise of standard deviation `sigma` of 255 from an image.

        `noisy` is a float image of [0, 1] with noise that is not clipped. It takes as many thinking
        steps as in training, or `steps`. Gives an image in [0, 1].

        Raises:
            InputError: the image has another shape or type.
        """
        if noisy.ndim != 3 or noisy.shape[0] != 3 or not noisy.is_floating_point():
            raise InputError(
                f"an image of shape {tuple(noisy.shape)} and {noisy.dtype}; give floats "
                "[3, height, width]"
            )
        setting = self.denoiser.trained_setting() if steps is None else Thinking(steps)
        tiling = Tiling(self.size, self.size // 4, TILES_AT_ONCE)
        clean = denoise_whole(self.denoiser, noisy, sigma, setting, self.encoder, tiling, "image")
        return clean.clamp(0, 1)


def load(place: str | Path, revision: str | None = None) -> ImageModel:
    """The EBT of a folder that `--push` has written, or of a repository of the Hugging Face hub.

    Raises:
        InputError: it holds another model; or its encoder is the user's own code, has other weights
            on this machine, or has no way back to pixels.
    """
    config = shared_config(place, revision, CLASSES)
    encoder = shared_encoder(place, config)
    denoiser: EBT = CLASSES[config["class"]].from_pretrained(str(place), revision=revision)
    return ImageModel(denoiser, encoder, int(config["size"]))
