"""Metrics of perception: LPIPS, and the features of videos on which FVD is computed."""

import os
import pickle
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.config import JSON, PerceptionConfig
from benchmarks.measure.substitute import substituted
from data_prep.encoders.weights import checksum
from data_prep.errors import InputError

# The files of torchvision's weights, by the backbone of LPIPS, and what the backbone is called.
LPIPS_WEIGHTS = {"alex": "alexnet-owt-7be5be79.pth", "vgg": "vgg16-397923af.pth"}
LPIPS_NAMES = {"alex": "AlexNet", "vgg": "VGG16"}
LEAST_FRAMES = 10  # of a video for I3D
I3D_FEATURES = 400


class LPIPS:
    """LPIPS (Zhang et al., 2018) of batches of images."""

    def __init__(self, backbone: str, weights: Path, device: str):
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        self.backbone = backbone
        # torchvision loads its weights by pickle unless it is forced not to.
        os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
        with tempfile.TemporaryDirectory() as home:
            place = Path(home) / "checkpoints" / LPIPS_WEIGHTS[backbone]
            place.parent.mkdir()
            place.symlink_to(weights.resolve())
            try:
                with substituted(torch.hub, "get_dir", lambda: home):
                    self.network = LearnedPerceptualImagePatchSimilarity(backbone)  # type: ignore[arg-type]
            except (RuntimeError, OSError, ValueError, pickle.UnpicklingError) as error:
                said = str(error).strip().splitlines()[0]
                raise InputError(
                    f"{weights}: no weights of torchvision's {LPIPS_NAMES[backbone]} ({said})"
                ) from None
        self.network.to(device).eval()

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """LPIPS `[B]` of images `[B, 3, height, width]`; predictions are clipped to [0, 1]."""
        with torch.no_grad(), torch.autocast(target.device.type, enabled=False):
            found: Tensor = self.network.net(prediction.clamp(0, 1), target, normalize=True)
        return found.flatten()


class I3D:
    """The network of FVD (Unterthiner et al., 2018), as StyleGAN-V converted it."""

    def __init__(self, file: Path, device: str):
        if not file.is_file():
            raise InputError(f"perception.i3d {file}: no such file")
        try:
            self.network = torch.jit.load(str(file), map_location=device).eval()
        except (RuntimeError, ValueError) as error:
            said = str(error).strip().splitlines()
            raise InputError(f"perception.i3d {file}: no TorchScript file ({said[-1]})") from None
        self.checksum = checksum(file)

    def __call__(self, videos: Tensor) -> Tensor:
        """Features `[B, 400]` before the softmax of videos `[B, T, 3, height, width]` in [0, 1]."""
        given = videos.clamp(0, 1).transpose(1, 2) * 255  # [B, 3, T, height, width]
        with torch.no_grad(), torch.autocast(videos.device.type, enabled=False):
            found: Tensor = self.network(given, rescale=True, resize=True, return_features=True)
        if found.ndim != 2 or found.shape[1] != I3D_FEATURES:
            raise InputError(
                f"perception.i3d: features of shape {tuple(found.shape)}; I3D gives "
                f"{I3D_FEATURES} for each video"
            )
        return found


class Perception:
    """The metrics of perception for which there are weights; `skipped` names those without."""

    def __init__(self, config: PerceptionConfig, device: str, frames: int | None = None):
        """`frames` is the length of the videos that are judged; None for images."""
        self.skipped: list[str] = []
        self.lpips, self.i3d = None, None
        name = LPIPS_WEIGHTS[config.lpips_backbone]
        given = config.lpips_weights
        file = Path(given).expanduser() if given else lpips_cache() / name
        if file.is_file():
            self.lpips = LPIPS(config.lpips_backbone, file, device)
        elif given:
            raise InputError(f"perception.lpips_weights {given}: no such file")
        else:
            self.skipped.append(
                f"LPIPS: {name} is not in {lpips_cache()}; put it there, or name it with "
                "--perception.lpips_weights"
            )
        if frames is None:
            return
        if config.i3d is None:
            self.skipped.append("FVD: name the TorchScript file of I3D with --perception.i3d")
        elif frames < LEAST_FRAMES:
            self.skipped.append(f"FVD: videos of {frames} frames; I3D needs {LEAST_FRAMES}")
        else:
            self.i3d = I3D(Path(config.i3d).expanduser(), device)

    def describe(self) -> JSON:
        """By which weights the metrics were computed, for the result."""
        found: JSON = {"skipped": self.skipped}
        if self.lpips is not None:
            found["lpips"] = LPIPS_NAMES[self.lpips.backbone]
        if self.i3d is not None:
            found["i3d"] = self.i3d.checksum
        return found


def lpips_cache() -> Path:
    """Where torchvision keeps the weights that LPIPS needs; they may be absent."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def perception_columns(described: JSON) -> list[tuple[str, str, int]]:
    """The columns of tables for the metrics that were computed, with what they rest on."""
    columns = []
    if "lpips" in described:
        columns.append((f"LPIPS ({described['lpips']})", "lpips", 3))
    if "i3d" in described:
        columns.append((f"FVD (I3D {described['i3d'][:8]}, {described['videos']})", "fvd", 1))
    return columns
