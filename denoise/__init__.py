"""Image denoising: the noise, the pairs of noisy and clean images, and the EBT as a denoiser.

from denoise import load
model = load("path/to/model")
clean = model.denoise(noisy, sigma=25)  # [3, height, width] in [0, 1]
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from denoise.image_model import ImageModel, load

__all__ = ["ImageModel", "load"]


def __getattr__(name: str) -> Any:
    """Import what is asked for, so that help stays instant."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from denoise import image_model

    return getattr(image_model, name)
