"""Encoders from outside the repository."""

import os
import pkgutil
import sys

from data_prep.config import EncoderConfig
from data_prep.encoders.base import Encoder
from data_prep.errors import InputError

OFFERS = ("weights", "decodable", "grid", "dim", "isometric", "encode", "decode")


def build_own(config: EncoderConfig, size: int) -> Encoder:
    """The encoder whose class stands at `config.model`, called with the configuration and the size.

    Modules are also found in the working directory.

    Raises:
        InputError: there is no such class, or it lacks something that every encoder offers.
    """
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        build = pkgutil.resolve_name(config.model)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"encoder.name {config.name}: {error}") from None
    encoder: Encoder = build(config, size)
    encoder.name = config.name
    missing = [name for name in OFFERS if not hasattr(encoder, name)]
    if missing:
        raise InputError(f"encoder.name {config.name}: it has no {', '.join(missing)}")
    return encoder
