"""What a domain offers to every task, and nothing else."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from benchmarks.config import (
    JSON,
    DomainConfig,
    EvaluationConfig,
    Inputs,
    PerceptionConfig,
    RunConfig,
)
from benchmarks.models import ModelSpec, RunData, added_models
from benchmarks.record.contrasts import Contrast

if TYPE_CHECKING:
    from benchmarks.domains.fake import FakeData
    from benchmarks.domains.judging import ComparingJudge
    from benchmarks.domains.labels import Items, Views
    from benchmarks.domains.samples import Samples
    from benchmarks.record.results import Result
    from benchmarks.reporting.report import Report
    from benchmarks.reporting.tables import Table
    from worldmodel.predictor import Predictor

VERDICTS = "verdicts"  # the part of a comparison that a document shows as the grid of its answers


class Described(Protocol):
    """Data that say what they are."""

    def describe(self) -> JSON:
        """What the data are, for the result: `corpus`, `clips` by split, `rejected` and more."""
        ...


class DomainData(RunData, Described, Protocol):
    """The data of a domain: what models train on, and what it is."""


class Domain(ABC):
    """A domain of the suite; its module imports nothing heavy, its methods do.

    A folder `presets` beside the domain's module holds the presets of each task in a folder of the
    task's name.

    Args:
        name: name of the domain in options, results and folders.
        compares: name, on the command line, of the task that compares its models.
        config: configuration class of the data, free of torch.
        evaluation: configuration class of how models are compared.
        shifts: configuration class of the conditions that lead away from training.
        declared: models of the domain, each declared once, in the order of tables.
        sequences: whether samples are clips of several frames, in which models roll out.
        plain: name of the model one forward pass of which is the unit of compute.
        contrasts: declared questions, which alone get verdicts.
        reserved_test_sets: names of the domain's own test sets; None where `--test` is not offered.
        entry_points: group of the installed packages that offer models.
        files_of_others: places of the classes that read weights which others have trained, by the
            kind that stands before the file in `--checkpoint NAME=KIND:FILE`.
    """

    name: ClassVar[str]
    compares: ClassVar[str]
    config: ClassVar[type[DomainConfig]]
    evaluation: ClassVar[type[EvaluationConfig]]
    shifts: ClassVar[type]
    declared: ClassVar[Sequence[ModelSpec]]
    sequences: ClassVar[bool] = False
    plain: ClassVar[str]
    contrasts: ClassVar[Sequence[Contrast]] = ()
    reserved_test_sets: ClassVar[Sequence[str] | None] = None
    entry_points: ClassVar[str]
    files_of_others: ClassVar[Mapping[str, str]] = {}

    @property
    def specs(self) -> tuple[ModelSpec, ...]:
        """The models of the domain, and those that users have added."""
        return (*self.declared, *added_models(self.name))

    def plain_model(self, config: RunConfig, data: RunData) -> "Predictor":
        """The plain baseline with fresh weights."""
        spec = next(spec for spec in self.declared if spec.name == self.plain)
        return spec.build(config.section_of(spec), config.backbone, data)

    @abstractmethod
    def prepare(self, config: RunConfig, inputs: Inputs) -> DomainData:
        """Make or reuse the data of a run.

        Raises:
            InputError: the data cannot be used.
        """

    @abstractmethod
    def judge(
        self, evaluation: Any, perception: PerceptionConfig, data: Any, device: str
    ) -> "ComparingJudge[Any]":
        """How models are compared on the data."""

    @abstractmethod
    def samples(self, config: RunConfig, shifts: Any, inputs: Inputs) -> "Samples":
        """The data of a run with sets of samples to judge on: as in training, and away from it.

        Raises:
            InputError: the data cannot be used.
        """

    @abstractmethod
    def items(self, data: Any, most: int | None) -> "list[Items]":
        """The labelled corpora, with at most so many items of each split."""

    @abstractmethod
    def views(self, noise_steps: list[int], seed: int) -> "Views":
        """What a model observes of an item, by name; noise where the domain has any."""

    @abstractmethod
    def fake_data(self, config: RunConfig) -> "FakeData":
        """Data of the shapes that a configuration asks for, without values that mean anything."""

    @abstractmethod
    def built_in(self, config: Any) -> tuple[str, object]:
        """What the built-in corpus is, in words, and its configuration with a number a split."""

    @abstractmethod
    def headline(self, result: "Result", part: str | None) -> "Table":
        """The table that sums a comparison up, for documents."""

    @abstractmethod
    def report(self, folder: Path, result: "Result") -> "Report":
        """What a comparison says, its figures drawn into `folder`."""
