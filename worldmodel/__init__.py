"""The energy-based transformer: its layers, its thinking, and next-frame prediction with it.

from worldmodel import load
model = load("path/to/model")
frame = model.predict(frames)  # [T, 3, height, width] in [0, 1]
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worldmodel.video_model import Thought, VideoModel, load

__all__ = ["Thought", "VideoModel", "load"]


def __getattr__(name: str) -> Any:
    """Import what is asked for, so that help stays instant."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from worldmodel import video_model

    return getattr(video_model, name)
