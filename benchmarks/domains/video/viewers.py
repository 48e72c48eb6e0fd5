"""What the page of next-frame prediction lets the reader move through."""

from pathlib import Path

import numpy as np

from benchmarks.record.model_names import title_of
from benchmarks.record.results import Result
from benchmarks.reporting.thinking import thinking_viewer
from benchmarks.reporting.values import load_arrays
from benchmarks.reporting.viewer import Scene, Tile, Viewer, absolute_error, heat, psnr

TEXT = (
    "Until the last observed frame every model sees the truth. Errors are absolute ones, the mean "
    "of the channels, brightest at {largest} of the range."
)


def make_viewers(folder: Path, result: Result) -> tuple[list[Viewer], list[Viewer]]:
    """Rollouts of all models on one slider, and their thinking; nothing without pixels."""
    pictures = load_arrays(folder, result, "pictures")
    if not pictures:
        return [], []
    context = result.config["evaluation"]["context_frames"]
    names = [model.name for model in result.models]
    truth = pictures["truth"]
    thinking = thinking_viewer(
        pictures,
        names,
        truth[:, context - 1],
        truth[:, context],
        result.data["encoder"]["grid"],
        "clip",
    )
    return [_rollouts(pictures, names, context)], [] if thinking is None else [thinking]


def _rollouts(pictures: dict[str, np.ndarray], names: list[str], context: int) -> Viewer:
    truth = pictures["truth"]
    errors = {name: absolute_error(pictures[name], truth[:, context:]) for name in names}
    largest = max(float(np.quantile(error, 0.995)) for error in errors.values())
    scenes = []
    for clip, true in enumerate(truth):
        tiles = [Tile("truth", true)]
        for name in names:
            frames = np.concatenate([true[:context], pictures[name][clip]])
            error = np.concatenate([np.zeros_like(true[:context, ..., 0]), errors[name][clip]])
            said = ["observed"] * context
            said += [
                f"{psnr(frame, seen):.1f} dB"
                for frame, seen in zip(frames[context:], true[context:], strict=True)
            ]
            tiles.append(Tile(title_of(name), frames, {"error": heat(error, largest)}, said))
        scenes.append(Scene(f"clip {clip + 1}", tiles))
    horizon = truth.shape[1] - context
    positions = [f"observed {i} of {context}" for i in range(1, context + 1)]
    positions += [f"{i} of {horizon} ahead" for i in range(1, horizon + 1)]
    text = TEXT.format(largest=f"{largest:.2f}")
    return Viewer("Rollouts beside the truth", text, positions, scenes, first=context)
