"""Animated WebP images as videos. Animated GIFs are video files already."""

from pathlib import Path

from PIL import Image

NOUN = "animated images"


def detect(files: list[str], root: str, axes: str | None) -> dict[str, list[str]]:
    """The animated images among `files`, each by itself."""
    return {file: [file] for file in files if file.lower().endswith(".webp") and _moves(root, file)}


def _moves(root: str, file: str) -> bool:
    try:
        with Image.open(Path(root, file)) as image:
            return bool(getattr(image, "is_animated", False))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False
