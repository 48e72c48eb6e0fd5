"""Who makes the shards of a plan: modules by name, imported when one is called."""

import importlib
from collections.abc import Iterable
from typing import Protocol, cast

from data_prep.config import ExecutorConfig
from data_prep.errors import InputError
from data_prep.shards.format import ShardSet
from data_prep.shards.plan import PLAN, SetPlan
from data_prep.shards.storage import Folder

MAKERS = {
    "frames": "data_prep.frames",
    "embed": "data_prep.embed",
    "dead_leaves": "data_prep.synthetic.dead_leaves",
}


class Maker(Protocol):
    """What such a module offers."""

    def run_plan(self, folder: Folder, plan: SetPlan, executor: ExecutorConfig) -> ShardSet | None:
        """Make what is missing of the set in `folder`; None while other jobs are not done."""
        ...

    def require_sources(self, plan: SetPlan, names: Iterable[str]) -> None:
        """Check that the shards `names` can be made again as they were.

        Raises:
            InputError: what they are made from is gone or has changed.
        """
        ...


def maker_of(plan: SetPlan) -> Maker:
    """The module that makes the shards of a plan.

    Raises:
        InputError: this program has no such maker.
    """
    if plan.maker not in MAKERS:
        raise InputError(f"{PLAN}: names the maker {plan.maker!r}; known are {', '.join(MAKERS)}")
    return cast(Maker, importlib.import_module(MAKERS[plan.maker]))
