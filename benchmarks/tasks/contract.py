"""What a task offers to the command line, the search and the report, in any domain."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from benchmarks.config import Inputs, RunConfig
from benchmarks.domains.contract import Described, Domain
from benchmarks.models import ModelSpec, RunData

if TYPE_CHECKING:
    import numpy as np

    from benchmarks.record.results import Metric, Result
    from benchmarks.reporting.report import Report
    from benchmarks.reporting.tables import Table
    from benchmarks.training.plan import PlannedModel


Config = TypeVar("Config")
Data = TypeVar("Data", bound=Described)


class Task(ABC, Generic[Config, Data]):
    """A task of the suite; its module imports nothing heavy, its methods do.

    The fields of `config` become the options of the command line, a section for each dataclass.
    Presets stand in a folder `presets` beside the module of a task without models, and in that of
    the domain for others; `cpu` is the default.

    Args:
        config: configuration class of the task, free of torch.
        folder: name of the folder of its presets in each domain.
        starts_runs: whether the task starts runs of other tasks, which use the devices themselves.
    """

    config: ClassVar[type]
    folder: ClassVar[str] = ""
    starts_runs: ClassVar[bool] = False

    def __init__(self, domain: Domain):
        self.domain = domain

    def sections(self) -> dict[str, type]:
        """The classes of the fields of its configuration that are sections of options."""
        return sections_of(self.config)

    @abstractmethod
    def prepare(self, config: Config, inputs: Inputs) -> Data:
        """Make or reuse the data of a run.

        Raises:
            InputError: the data cannot be used.
        """

    @abstractmethod
    def run(self, config: Config, data: Data, inputs: Inputs, out: Path, device: str) -> "Result":
        """Measure; weights and the data of figures go to `out`."""

    def headline(self, result: "Result", part: str | None = None) -> "Table":
        """The table that sums the result up, for documents, or a part of it that it names."""
        raise NotImplementedError

    def kept_values(self, folder: Path, result: "Result") -> "dict[str, np.ndarray]":
        """The values `[seeds, sources]` of a run by name, for the results that are committed."""
        from benchmarks.reporting.values import read_values

        return read_values(folder, result)

    def cited(self, result: "Result", first: str, rest: str, where: str) -> "Metric":
        """A number that a document cites of a result without models, by the words it uses.

        Raises:
            InputError: there is none.
        """
        raise NotImplementedError

    def valued(self, result: "Result") -> "Iterator[tuple[str, Metric]]":
        """What in a result is the mean of values, with their names."""
        from benchmarks.reporting.values import row_values

        return row_values(result)

    def contradictions(self, result: "Result") -> "Iterator[str]":
        """Where numbers of a result do not follow from others of the same result, a line each."""
        yield from ()

    def compare(self, runs: "Sequence[tuple[str, Path, Result]]", folder: Path) -> "Report | None":
        """The report of several runs, by name and folder; None where models are compared alike.

        Figures are drawn into `folder`.
        """
        return None

    @abstractmethod
    def report(self, folder: Path, result: "Result") -> "Report":
        """What the result says, its figures drawn into `folder`."""


AnyTask = Task[Any, Any]  # a task whose configuration and data only itself knows


class ModelTask(Task[RunConfig, Data], Generic[Data]):
    """A task that trains the models of its domain.

    Its configuration is the part `task` of a run's.
    """

    @property
    def specs(self) -> "tuple[ModelSpec, ...]":
        """The models of the domain."""
        return self.domain.specs

    def models(self, config: RunConfig, data: RunData) -> "list[PlannedModel]":
        """The models of a run, in the order of its configuration."""
        from benchmarks.training.plan import plan_models

        return plan_models(self.specs, config, data)

    def largest(self, config: RunConfig) -> RunConfig:
        """The configuration of the largest training of a run, for a dry run."""
        return config


def sections_of(config: type) -> dict[str, type]:
    """The classes of the fields of a configuration class that are dataclasses."""
    kinds = {f.name: f.type for f in fields(config)}
    return {n: k for n, k in kinds.items() if isinstance(k, type) and is_dataclass(k)}


def plain_fields(config: type) -> list[str]:
    """The fields of a configuration class that are no sections of options."""
    sections = sections_of(config)
    return [f.name for f in fields(config) if f.name not in sections]
