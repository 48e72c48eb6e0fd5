"""Pictures that a run leaves for its report, as pixels."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import safetensors.torch
from torch import Tensor

from data_prep.shards.storage import atomic_file
from worldmodel.predictor import Clips, Predictor, Thinking

PICTURES = "pictures.safetensors"
SHOWN_STEPS = 8  # at most, unless a model is trained with more

Decode = Callable[[Tensor], Tensor]  # from scaled embeddings [..., P, D] to frames


def write_pictures(out: Path, pictures: Mapping[str, Tensor]) -> str:
    """Write frames, uint8 `[..., height, width, 3]`, and maps by name; gives the file's name."""
    found = {name: values.cpu().contiguous() for name, values in pictures.items()}
    with atomic_file(out / PICTURES) as file:
        file.write(safetensors.torch.save(found))
    return PICTURES


def thinking_pictures(
    predictor: Predictor, context: Clips, counts: Sequence[int], target: Tensor, decode: Decode
) -> dict[str, Tensor]:
    """The prediction after the last frame of `context`, as it stands after every thinking step.

    `steps [B, M + 1, height, width, 3]` are uint8, `energy` and `error [B, M + 1, P]` those of
    every patch, the error being half the squared distance to what is predicted, `target [B, P, D]`.
    Nothing for a model that does not think, or gives no energies.
    """
    trained = predictor.trained_setting()
    if not isinstance(trained, Thinking):
        return {}
    few = [count for count in counts if count <= SHOWN_STEPS]
    setting = Thinking(max([trained.steps, *few]))
    trajectory = predictor.predict(context, setting, energies=True)
    if trajectory.patch_energies is None:
        return {}
    candidates = trajectory.candidates[:, :, -1].transpose(0, 1)  # [B, M + 1, P, D]
    return {
        "steps": to_bytes(decode(candidates)),
        "energy": trajectory.patch_energies[:, :, -1].transpose(0, 1),
        "error": (candidates - target[:, None]).square().sum(-1) / 2,
    }


def spread(count: int, total: int) -> list[int]:
    """Indices of at most `count` of `total` samples, evenly spread."""
    return np.linspace(0, total - 1, min(count, total)).astype(int).tolist()


def to_bytes(frames: Tensor) -> Tensor:
    """Frames `[..., 3, height, width]` in [0, 1] as uint8 `[..., height, width, 3]`."""
    return (frames.clamp(0, 1) * 255 + 0.5).byte().movedim(-3, -1)
