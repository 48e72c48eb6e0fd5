"""Encoders by the kind that their name begins with, imported when one is built."""

import importlib
from collections.abc import Callable

from data_prep.config import EncoderConfig
from data_prep.encoders.base import Encoder

# timm and diffusers import slowly.
ENCODERS = {
    "dct": "data_prep.encoders.dct:BlockDCT",
    "pixels": "data_prep.encoders.pixels:PixelPatches",
    "timm": "data_prep.encoders.timm:TimmPatches",
    "vae": "data_prep.encoders.vae:AutoencoderLatents",
    "tae": "data_prep.encoders.tae:TinyAutoencoderLatents",
    "own": "data_prep.encoders.own:build_own",
}


def build_encoder(config: EncoderConfig, size: int) -> Encoder:
    """The encoder of `config` for square frames of `size` pixels.

    Raises:
        InputError: the encoder does not fit the frames, or its weights are not on this machine.
    """
    module, _, name = ENCODERS[config.kind].partition(":")
    build: Callable[[EncoderConfig, int], Encoder] = getattr(importlib.import_module(module), name)
    return build(config, size)
