"""What a task offers to the command line, the search and the report, and nothing else."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from benchmarks.config import Inputs
from benchmarks.models import ModelSpec, added_models

if TYPE_CHECKING:
    import numpy as np

    from benchmarks.reporting.page import Report
    from benchmarks.reporting.results import Metric, Result
    from benchmarks.reporting.tables import Table
    from benchmarks.training.plan import PlannedModel
    from data_prep.encoders.base import Encoder
    from worldmodel.data import EmbeddingClips


class Described(Protocol):
    """Data that says what it is."""

    def describe(self) -> dict[str, Any]:
        """What the data is, for the result: `corpus`, `clips` by split, `rejected` and more."""
        ...


@dataclass(frozen=True)
class BorrowedData:
    """Data of a task that trains the models of another task, on the data of that one."""

    base: Any

    @property
    def train(self) -> "EmbeddingClips":
        """Training clips."""
        clips: EmbeddingClips = self.base.train
        return clips

    @property
    def validation(self) -> "EmbeddingClips":
        """Validation clips."""
        clips: EmbeddingClips = self.base.validation
        return clips

    @property
    def encoder(self) -> "Encoder":
        """The frozen encoder that made the embeddings."""
        encoder: Encoder = self.base.encoder
        return encoder

    @property
    def fingerprint(self) -> str:
        """Name of what models are trained on."""
        return str(self.base.fingerprint)

    def describe(self) -> dict[str, Any]:
        """What the data is, for the result."""
        described: dict[str, Any] = self.base.describe()
        return described


Config = TypeVar("Config")
Data = TypeVar("Data", bound=Described)


class Task(ABC, Generic[Config, Data]):
    """A task of the suite; its module imports nothing heavy, its methods do.

    The fields of `config` become the options of the command line, a section for each dataclass.
    A folder `presets` beside the task's module holds its presets, `cpu` being the default.

    Args:
        config: configuration class of the task, free of torch.
        declared: models of the task, in the order of its tables; none for a task without training.
        reserved_test_sets: names of the task's own test sets; None where `--test` is not offered.
        takes: kind of the models that users may add, `predictor` or `denoiser`; None for none.
        starts_runs: whether the task starts runs of other tasks, which use the devices themselves.
    """

    config: ClassVar[type]
    declared: ClassVar[Sequence[ModelSpec]] = ()
    reserved_test_sets: ClassVar[Sequence[str] | None] = None
    takes: ClassVar[str | None] = None
    starts_runs: ClassVar[bool] = False

    @property
    def specs(self) -> "tuple[ModelSpec, ...]":
        """The models of the task, and those that users have added."""
        return (*self.declared, *added_models(self.takes))

    @abstractmethod
    def prepare(self, config: Config, inputs: Inputs) -> Data:
        """Make or reuse the data of a run.

        Raises:
            InputError: the data cannot be used.
        """

    def models(self, config: Config, data: Data) -> "list[PlannedModel]":
        """The models of a run, in the order of its configuration."""
        return []

    @abstractmethod
    def run(self, config: Config, data: Data, out: Path, device: str) -> "Result":
        """Measure; weights and the data of figures go to `out`."""

    def largest(self, config: Config) -> Any:
        """The configuration of the largest training of a run, for a dry run."""
        return config

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

    def compare(self, runs: "Sequence[tuple[str, Path, Result]]", folder: Path) -> "Report | None":
        """The report of several runs, by name and folder; None where models are compared alike.

        Figures are drawn into `folder`.
        """
        return None

    @abstractmethod
    def report(self, folder: Path, result: "Result") -> "Report":
        """What the result says, its figures drawn into `folder`."""
