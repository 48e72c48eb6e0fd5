"""Under which conditions denoising is judged."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageCondition:
    """A set of images by name, and what is done to them: the name of a corruption."""

    images: str
    corruption: str


VALIDATION = "validation"  # the image set on which settings are selected
TOLD = "told the noise"  # what is special about a model that is given the noise level
