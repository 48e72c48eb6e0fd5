"""What the page of denoising lets the reader move through."""

from pathlib import Path

import numpy as np

from benchmarks.domains.image.verdicts import TRAINED, swept_corruptions, test_sets
from benchmarks.record.model_names import title_of
from benchmarks.record.results import Result
from benchmarks.reporting.thinking import thinking_viewer
from benchmarks.reporting.values import load_arrays
from benchmarks.reporting.viewer import Scene, Tile, Viewer, absolute_error, heat, psnr

TEXT = (
    "From the noisy image over the output of every model to the clean image, each in the same "
    "place. Errors are absolute ones, the mean of the channels, brightest at {largest} of the "
    "range."
)


def make_viewers(folder: Path, result: Result) -> tuple[list[Viewer], list[Viewer]]:
    """Noisy, denoised and clean images on one slider, and how the denoised ones came to be."""
    pictures = load_arrays(folder, result, "pictures")
    if not pictures:
        return [], []
    names = [model.name for model in result.models]
    places = [(s, c) for s in test_sets(result) for c in swept_corruptions(result)]
    shown = [name for name in names if any(f"{s}/{c}/{name}" in pictures for s, c in places)]
    positions = ["noisy", *shown, "clean"]
    errors = [
        np.quantile(absolute_error(pictures[f"{s}/{c}/{name}"], pictures[f"{s}/{c}/clean"]), 0.995)
        for s, c in places
        for name in shown
        if f"{s}/{c}/{name}" in pictures
    ]
    largest = float(np.median(errors))
    scenes = [
        Scene(f"{s}, {c}", _tiles(pictures, f"{s}/{c}", positions, largest)) for s, c in places
    ]
    text = TEXT.format(largest=f"{largest:.2f}")
    said = [title_of(name) for name in positions]
    images = [Viewer("Noisy, denoised, clean", text, said, scenes, first=1)]
    steps = []
    trained = f"{test_sets(result)[0]}/{TRAINED}"
    if f"{trained}/clean" in pictures:
        noisy, clean = pictures[f"{trained}/noisy"], pictures[f"{trained}/clean"]
        grid = result.data["encoder"]["grid"]
        thinking = thinking_viewer(pictures, names, noisy, clean, grid, "image")
        steps = [] if thinking is None else [thinking]
    return images, steps


def _tiles(
    pictures: dict[str, np.ndarray], place: str, positions: list[str], largest: float
) -> list[Tile]:
    """A tile for each image; a model that was not judged here leaves a grey one."""
    clean = pictures[f"{place}/clean"]
    absent = np.full_like(clean, 128)
    frames = np.stack([pictures.get(f"{place}/{name}", absent) for name in positions], axis=1)
    tiles = []
    for number, true in enumerate(clean):
        said = [
            ("not judged here" if f"{place}/{name}" not in pictures else f"{psnr(f, true):.1f} dB")
            for name, f in zip(positions[:-1], frames[number], strict=False)
        ]
        error = absolute_error(frames[number], true)
        maps = {"error": heat(error, largest)}
        tiles.append(Tile(f"image {number + 1}", frames[number], maps, [*said, ""]))
    return tiles
