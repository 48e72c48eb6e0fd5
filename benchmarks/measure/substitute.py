"""Values of a module that stand for others for a while."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def substituted(owner: object, name: str, value: object) -> Iterator[None]:
    """Within the block, an attribute of a module or object has another value."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
