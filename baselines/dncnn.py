"""DnCNN from a file of weights: what others have trained, beside what is trained here.

Zhang et al., 2017 (arXiv 1608.03981), in the form of github.com/cszn/KAIR: convolutions of 3x3 with
ReLU between them, their batch norm merged; the output is the noise.
"""

import re
from pathlib import Path
from pickle import UnpicklingError  # what torch raises; nothing is unpickled

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from data_prep.encoders.base import Encoder
from data_prep.errors import InputError
from denoise.whole_images import PixelDenoiser
from worldmodel.predictor import Setting

SIGMAS = range(5, 76)
PICKLED = (".pth", ".pt", ".ckpt", ".bin")


class DnCNN(PixelDenoiser):
    """A DnCNN for grey or colour images; one for grey images takes a colour image by channel.

    A number from 5 to 75 at the end of the file's name, as in `dncnn_25` or `dncnn_gray_sigma25`,
    is the noise of 255 that it was made for; without one it is asked to remove any noise.

    Raises:
        InputError: the file holds no weights of a DnCNN.
    """

    def __init__(self, file: str, encoder: Encoder):
        super().__init__(encoder)
        path = Path(file)
        weights = _weights(path)
        self.network = _network(weights, path)
        self.channels = int(next(iter(self.network.parameters())).shape[1])
        made_for = re.search(r"_(?:sigma)?(\d+)$", path.stem)
        sigma = int(made_for.group(1)) if made_for else 0
        self.only_sigma = float(sigma) if sigma in SIGMAS else None

    @property
    def backbone(self) -> nn.Module:
        """The convolutions."""
        return self.network

    def denoise(self, images: Tensor, noise: float, setting: Setting) -> Tensor:
        """Images `[B, 3, height, width]` in [0, 1]; of grey ones only one channel is computed."""
        if self.channels == 3:
            return self._clean(images)
        if torch.equal(images[:, :1].expand_as(images), images):
            return self._clean(images[:, :1]).expand_as(images)
        return self._clean(images.flatten(0, 1)[:, None]).view_as(images)

    def _clean(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            cleaned: Tensor = images - self.network(images)
        return cleaned


def _weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file; nothing but tensors is read."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        if path.suffix in PICKLED:
            found = torch.load(path, map_location="cpu", weights_only=True)
        else:
            found = load_file(path)
    except Exception as error:  # torch raises whatever a broken file leads it to
        reason = "" if isinstance(error, UnpicklingError) else f" ({_line(error)})"
        raise InputError(f"{path}: no file of tensors alone{reason}") from None
    tensors = isinstance(found, dict) and all(isinstance(t, Tensor) for t in found.values())
    if not tensors:
        raise InputError(f"{path}: give a file of tensors by name, without anything around them")
    return {str(name): tensor.float() for name, tensor in found.items()}


def _network(weights: dict[str, Tensor], path: Path) -> nn.Sequential:
    """Convolutions at the even places of `model`, as many as the file has."""
    count = sum(bool(re.fullmatch(r"model\.\d+\.weight", name)) for name in weights)
    kernels = [weights.get(f"model.{2 * number}.weight") for number in range(count)]
    if count < 2 or any(kernel is None or kernel.ndim != 4 for kernel in kernels):
        raise InputError(
            f"{path}: no DnCNN: it needs convolutions model.0, model.2 and so on, their batch norm "
            "merged"
        )
    shapes = [kernel.shape for kernel in kernels if kernel is not None]
    channels = [shapes[0][1], *(shape[0] for shape in shapes)]
    fits = all(shape[1] == inputs for shape, inputs in zip(shapes, channels, strict=False))
    if not fits or channels[-1] != channels[0] or channels[0] not in (1, 3):
        raise InputError(
            f"{path}: no DnCNN: its channels are {' → '.join(map(str, channels))}; they must begin "
            "and end with 1 or with 3"
        )
    layers: list[nn.Module] = []
    for outputs, inputs, side, _ in shapes:
        layers += [nn.Conv2d(inputs, outputs, side, padding=side // 2), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    try:
        model.load_state_dict({k.removeprefix("model."): v for k, v in weights.items()})
    except RuntimeError as error:
        raise InputError(f"{path}: no DnCNN ({_line(error)})") from None
    return model.eval().requires_grad_(False)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
