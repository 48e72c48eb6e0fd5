"""Pictures of the page that the reader moves through with one slider: frames, steps or models."""

import base64
import html
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import matplotlib
import numpy as np
from PIL import Image

LARGEST = 256  # pixels of the longer side of a picture
TALLEST = 16_383  # pixels of a WebP file
# How pictures are made to fit the page: quality of WebP, None being without loss, and scenes.
FITS: tuple[tuple[int | None, int | None], ...] = (
    *((None, None), (90, None), (70, None)),
    *((70, 6), (50, 6), (50, 2), (30, 1)),
)


@dataclass(frozen=True)
class Tile:
    """A place that shows a picture for each position of the slider.

    Args:
        name: what stands under it.
        frames: uint8 `[positions, height, width, 3]`, or a single picture for all positions.
        maps: pictures below it, by name, each as many as `frames`.
        said: what is said of each position.
    """

    name: str
    frames: np.ndarray
    maps: dict[str, np.ndarray] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Scene:
    """Tiles that are seen together, such as those of one clip."""

    name: str
    tiles: list[Tile]


@dataclass(frozen=True)
class Viewer:
    """Scenes, of which the reader chooses one, and the positions of their slider.

    Args:
        title: its name.
        text: what is seen, in words.
        positions: names of the positions.
        scenes: what is seen.
        first: position that is seen at first.
        maps: what the maps are called; on a button that shows them, where `on_demand`.
        on_demand: whether maps are hidden until the reader asks for them.
    """

    title: str
    text: str
    positions: list[str]
    scenes: list[Scene]
    first: int = 0
    maps: str = "errors"
    on_demand: bool = True


def heat(values: np.ndarray, largest: float) -> np.ndarray:
    """Values `[..., height, width]` from 0 to `largest` as pictures, uint8 `[..., 3]`."""
    colors = matplotlib.colormaps["magma"](np.clip(values / max(largest, 1e-12), 0, 1))
    found: np.ndarray = (colors[..., :3] * 255 + 0.5).astype(np.uint8)
    return found


def absolute_error(frames: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Mean absolute difference of the channels, `[..., height, width]` from 0 to 1."""
    error: np.ndarray = np.abs(frames.astype(np.float32) - truth).mean(-1) / 255
    return error


def psnr(frame: np.ndarray, truth: np.ndarray) -> float:
    """PSNR in dB of a picture of bytes."""
    mse = np.mean((frame.astype(np.float64) - truth) ** 2) / 255**2
    return float(-10 * np.log10(max(mse, 1e-10)))


def viewers_html(viewers: Sequence[Viewer], most: int) -> list[str]:
    """The viewers as HTML of at most `most` characters, where that can be.

    To fit, pictures lose quality, and then scenes are left out, which is said.
    """
    parts: list[str] = []
    for quality, scenes in FITS:
        parts = [_viewer(viewer, quality, scenes) for viewer in viewers]
        if sum(map(len, parts)) <= most:
            break
    return parts


def _viewer(viewer: Viewer, quality: int | None, most: int | None) -> str:
    scenes = viewer.scenes[:most]
    text = viewer.text
    if len(scenes) < len(viewer.scenes):
        text += f" {len(viewer.scenes) - len(scenes)} more are left out, for the page's size."
    names = "".join(f"<option>{html.escape(scene.name)}</option>" for scene in scenes)
    chooser = f"<label>show <select>{names}</select></label>" if len(scenes) > 1 else ""
    mapped = any(tile.maps for scene in scenes for tile in scene.tiles)
    asked = "" if viewer.on_demand else " checked"
    maps = (
        f'<label><input type="checkbox" class="maps"{asked}> {viewer.maps}</label>'
        if mapped
        else ""
    )
    shown = "".join(
        f'<div class="tiles"{" hidden" if number else ""}>'
        + "".join(_tile(tile, scene.name, quality) for tile in scene.tiles)
        + "</div>"
        for number, scene in enumerate(scenes)
    )
    title = html.escape(viewer.title)
    at = viewer.first / max(1, len(viewer.positions) - 1)
    return (
        f'<div class="viewer" role="group" aria-label="{title}" '
        f'data-positions="{_json(viewer.positions)}" style="--at:{at:.6f}">\n<div class="controls">'
        f'<button type="button">Play</button>{chooser}{maps}<input type="range" min="0" '
        f'max="{len(viewer.positions) - 1}" value="{viewer.first}" aria-label="{title}">'
        f'<output aria-live="off">{html.escape(viewer.positions[viewer.first])}</output></div>\n'
        f"{shown}\n<p>{html.escape(text)}</p></div>\n"
    )


def _tile(tile: Tile, scene: str, quality: int | None) -> str:
    name = html.escape(tile.name)
    said = f'<small data-said="{_json(tile.said)}"></small>' if tile.said else ""
    label = html.escape(f"{tile.name}, {scene}")
    maps = "".join(
        _pictures(frames, html.escape(f"{kind} of {tile.name}, {scene}"), quality, "map ")
        for kind, frames in tile.maps.items()
    )
    return (
        f'<figure class="tile">{_pictures(tile.frames, label, quality)}{maps}'
        f"<figcaption>{name}{said}</figcaption></figure>"
    )


def _pictures(frames: np.ndarray, label: str, quality: int | None, kind: str = "") -> str:
    """All pictures of a place, one below the other in one image of which one is seen."""
    count, height, width = frames.shape[:3]
    sprite = Image.fromarray(np.ascontiguousarray(frames).reshape(count * height, width, 3))
    shrink = min(LARGEST / max(height, width), TALLEST / (count * height))
    if shrink < 1:
        size = (max(1, int(width * shrink)), count * max(1, int(height * shrink)))
        sprite = sprite.resize(size, Image.Resampling.BOX)
    return (
        f'<div class="{kind}pictures" role="img" aria-label="{label}" '
        f'style="aspect-ratio:{width}/{height};background-size:100% {count * 100}%;'
        f'background-image:url({picture_source(sprite, quality)})"></div>'
    )


def picture_source(picture: Image.Image, quality: int | None) -> str:
    """A picture as a part of the page: WebP without loss, or of a quality from 0 to 100."""
    file = io.BytesIO()
    if quality is None:
        picture.save(file, "WEBP", lossless=True)
    else:
        picture.save(file, "WEBP", quality=quality)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"


def _json(values: list[str]) -> str:
    return html.escape(json.dumps(values))
