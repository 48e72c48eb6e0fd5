"""How predictions come to be, step by step, for the page."""

from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.record.model_names import title_of
from benchmarks.reporting.viewer import Scene, Tile, Viewer, heat

PLACE = "thinking/"
TEXT = (
    "From the candidate where thinking starts to the last step: the candidate, and below it the "
    "energy of every patch and half its squared error, on one scale, brightest where the error "
    "after the last step is largest. The numbers are sums over the patches, in scaled embeddings."
)

Arrays = Mapping[str, np.ndarray]


def thinkers_shown(pictures: Arrays) -> list[str]:
    """The models whose thinking is among the pictures, in their order."""
    ends = "/steps"
    found = [n for n in pictures if n.startswith(PLACE) and n.endswith(ends)]
    return [name.removeprefix(PLACE).removesuffix(ends) for name in found]


def thinking_viewer(
    pictures: Arrays,
    names: Sequence[str],
    observed: np.ndarray,
    truth: np.ndarray,
    grid: Sequence[int],
    sample: str,
) -> Viewer | None:
    """One slider over the thinking steps of the models `names`; None where none of them thinks.

    `observed` and `truth [samples, height, width, 3]` stand beside them; `sample` is what a sample
    is called.
    """
    known = thinkers_shown(pictures)
    names = [name for name in names if name in known]
    if not names:
        return None
    found = {name: _of_model(pictures, name) for name in names}
    longest = max(frames.shape[1] for frames, _, _ in found.values())
    scenes = []
    for number in range(len(truth)):
        largest = max(float(error[number, -1].max()) for _, _, error in found.values())
        tiles = [Tile("observed", observed[number, None])]
        for name, (frames, energy, error) in found.items():
            maps = {
                "energy": heat(_mapped(energy[number], grid, longest), largest),
                "half squared error": heat(_mapped(error[number], grid, longest), largest),
            }
            said = [
                f"energy {e:.1f}, error {h:.1f}"
                for e, h in zip(energy[number].sum(-1), error[number].sum(-1), strict=True)
            ]
            shown = _held(frames[number], longest)
            tiles.append(
                Tile(title_of(name), shown, maps, said + said[-1:] * (longest - len(said)))
            )
        tiles.append(Tile("truth", truth[number, None]))
        scenes.append(Scene(f"{sample} {number + 1}", tiles))
    positions = ["start", *(f"step {step}" for step in range(1, longest))]
    return Viewer(
        "Thinking, step by step",
        TEXT,
        positions,
        scenes,
        first=longest - 1,
        maps="energies and errors",
        on_demand=False,
    )


def _of_model(pictures: Arrays, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    steps, energy, error = (pictures[f"{PLACE}{name}/{k}"] for k in ("steps", "energy", "error"))
    return steps, energy, error


def _mapped(values: np.ndarray, grid: Sequence[int], length: int) -> np.ndarray:
    """Values of patches `[M + 1, P]` as maps."""
    return _held(values, length).reshape(length, *grid)


def _held(values: np.ndarray, length: int) -> np.ndarray:
    """The last of some values goes on until there are enough."""
    return np.concatenate([values, values[-1:].repeat(length - len(values), axis=0)])
