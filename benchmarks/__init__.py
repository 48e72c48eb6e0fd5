"""The benchmark: tasks, metrics, costs, results and reports."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.api import Result, evaluate, load_result, run

__all__ = ["Result", "evaluate", "load_result", "run"]


def __getattr__(name: str) -> object:
    """What is used from Python, imported when it is asked for."""
    if name in __all__:
        from benchmarks import api

        return getattr(api, name)
    raise AttributeError(name)
