"""A third domain: signals of one dimension, cut into pieces; the next piece is to be predicted."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from baselines.config import TransformerPPConfig
from benchmarks.config import DomainConfig, EvaluationConfig, Inputs, RunConfig
from benchmarks.domains.contract import Domain
from benchmarks.domains.fake import FakeClips, FakeData
from benchmarks.domains.judging import ComparingJudge, CostCall
from benchmarks.domains.labels import Items, KnownClips, Label, whole_clips
from benchmarks.domains.samples import IN_DISTRIBUTION, VALIDATION, Case, Degree, Samples
from benchmarks.measure.costs import count_flops
from benchmarks.measure.metrics import embedding_errors
from benchmarks.measure.scores import Scores, Values, mean_by_source
from benchmarks.measure.verdicts import compare
from benchmarks.models import ModelSpec, Network, Role, Untrained
from benchmarks.record.contrasts import Contrast
from benchmarks.record.results import Comparison, Metric, Result
from benchmarks.record.selection_metric import EMBEDDINGS
from benchmarks.reporting.report import Report, Section
from benchmarks.reporting.tables import Table
from worldmodel.config import EBTConfig
from worldmodel.data import ordered_batches
from worldmodel.predictor import Clips, Predictor, Setting

PIECES, WIDTH, SIDE = 5, 8, 16
NUMBERS = {"train": 12, "validation": 6, "test": 6}


@dataclass
class SignalsConfig(DomainConfig):
    """The signals.

    Args:
        fastest: highest frequency, in periods of a piece.
    """

    fastest: float = 0.5


@dataclass
class SignalShiftsConfig:
    """Faster signals.

    Args:
        factors: factors by which they are faster.
    """

    factors: list[float] = field(default_factory=lambda: [2.0])


class Pieces:
    """An encoder that has nothing to do; its pictures of a piece have its mean as their grey."""

    name, weights, decodable, isometric = "pieces", None, True, True
    grid, dim = (1, 1), WIDTH

    def encode(self, frames: Tensor) -> Tensor:
        grey = frames.mean((1, 2, 3)) * 2 - 1
        return grey[:, None, None].expand(-1, 1, WIDTH)

    def decode(self, embeddings: Tensor) -> Tensor:
        grey = (embeddings.mean((1, 2)) + 1) / 2
        return grey[:, None, None, None].expand(-1, 3, SIDE, SIDE)


def signals(number: int, fastest: float, seed: int) -> tuple[Tensor, Tensor]:
    """Signals `[N, T, 1, D]`, and the frequency of each."""
    generator = torch.Generator().manual_seed(seed)
    frequency = fastest * (0.5 + 0.5 * torch.rand(number, 1, generator=generator))
    time = torch.arange(PIECES * WIDTH) / WIDTH
    phase = torch.rand(number, 1, generator=generator)
    waves = torch.sin(2 * torch.pi * (frequency * time + phase))
    return waves.view(number, PIECES, 1, WIDTH), frequency[:, 0]


class SignalsData:
    """Signals of all splits."""

    fingerprint, encoder = "signals", Pieces()

    def __init__(self, fastest: float):
        self.clips, self.frequencies, self.keys = {}, {}, {}
        for seed, (split, number) in enumerate(NUMBERS.items()):
            waves, self.frequencies[split] = signals(number, fastest, seed)
            self.keys[split] = [f"{split}-{index}" for index in range(number)]
            self.clips[split] = KnownClips(waves, self.keys[split])

    @property
    def train(self) -> KnownClips:
        return self.clips["train"]

    @property
    def validation(self) -> KnownClips:
        return self.clips["validation"]

    def describe(self) -> dict[str, Any]:
        encoder = {"name": "pieces", "grid": [1, 1], "dim": WIDTH}
        described = {"corpus": "signals", "clips": NUMBERS, "rejected": [], "encoder": encoder}
        return described | {"truth": "embeddings"}


@dataclass(frozen=True)
class Split:
    split: str


class SignalJudge(ComparingJudge[Split]):
    main, quality = "test", EMBEDDINGS
    selects = Split("validation")
    conditions = (selects, Split("test"))
    contrasted = (Split("test"),)

    def __init__(self, data: SignalsData):
        self.data = data
        self.tested = {"test": Split("test")}
        self.with_energies = self.tested

    def place(self, condition: Split) -> str:
        return condition.split

    def identity(self, condition: Split) -> str:
        return condition.split

    def selecting(self, condition: Split) -> Split:
        return self.selects

    def wanted(self, predictor: Predictor, setting: Setting, condition: Split) -> bool:
        return True

    def values(
        self, predictor: Predictor, settings: Any, condition: Split
    ) -> list[dict[str, np.ndarray]]:
        clips = self.data.clips[condition.split]
        (batch,) = ordered_batches(clips, len(clips))
        found = predictor.predict_all(batch.frames(0, -1), settings)
        errors = [embedding_errors(f.prediction, batch.embeddings[:, 1:]) for f in found]
        return [{n: mean_by_source(v.mean(1), batch.keys) for n, v in e.items()} for e in errors]

    def metrics(self, values: Values, condition: Split) -> dict[str, Metric]:
        return {}

    def cost_call(self, predictor: Predictor, setting: Setting, condition: Split) -> CostCall:
        return CostCall("predict", lambda: predictor.predict(self._one(), setting))

    def unit_flops(self, plain: Predictor) -> int:
        return count_flops(lambda: plain.predict(self._one(), plain.trained_setting()))

    def describe(self) -> dict[str, Any]:
        return {}

    def comparisons(self, scores: dict[str, Scores[Split]]) -> list[Comparison]:
        where = self.contrasted[0]
        first, *others = ((name, of.selected(where)) for name, of in scores.items())
        return compare(scores, [(first, other) for other in others], where)

    def write_pictures(self, out: Path, models: Any) -> None:
        return None

    def _one(self) -> Clips:
        (batch,) = ordered_batches(self.data.clips["test"], NUMBERS["test"])
        return Clips(batch.embeddings[:1, :-1], batch.keys[:1])


@dataclass(frozen=True)
class SignalSet:
    clips: KnownClips

    @property
    def sources(self) -> list[str]:
        return self.clips.keys

    def cases(self, batch_size: int, device: str) -> Iterator[Case]:
        for batch in ordered_batches(self.clips, batch_size):
            target = batch.embeddings[:, 1:]
            yield Case(batch.frames(0, -1), target, pictures(target), None)


def pictures(embeddings: Tensor) -> Tensor:
    """Pictures `[B, T, 3, height, width]` of pieces `[B, T, 1, D]`."""
    return Pieces().decode(embeddings.flatten(0, 1)).unflatten(0, embeddings.shape[:2])


class SignalSamples(Samples):
    scored = slice(None)

    def __init__(self, corpus: SignalsData, shifts: SignalShiftsConfig, fastest: float):
        self.corpus = corpus
        clips = corpus.clips
        self.sets = {
            VALIDATION: SignalSet(clips["validation"]),
            IN_DISTRIBUTION: SignalSet(clips["test"]),
        }
        degrees = [Degree(IN_DISTRIBUTION, 1.0)]
        for factor in shifts.factors:
            name = f"speed x{factor:g}"
            self.sets[name] = SignalSet(SignalsData(factor * fastest).clips["test"])
            degrees.append(Degree(name, factor))
        self.shifts = {"speed": degrees}

    def decode(self, embeddings: Tensor) -> Tensor:
        return pictures(embeddings)

    def embed(self, frames: Tensor) -> Tensor:
        return self.encoder.encode(frames)

    def foreign(self, case: Case) -> dict[str, Tensor]:
        return {"last piece": case.context.embeddings}

    def describe(self) -> dict[str, Any]:
        return self.corpus.describe() | {"truth": "pictures"} | self.describe_sets()


class Signals(Domain):
    """Predict the next piece of a signal."""

    name, compares = "signals", "forecast"
    config, evaluation, shifts = SignalsConfig, EvaluationConfig, SignalShiftsConfig
    declared = (
        ModelSpec("ebt", Role.ENERGY, Network("worldmodel.next_frame:NextFrameEBT"), EBTConfig),
        ModelSpec(
            "plain",
            Role.NETWORK,
            Network("baselines.transformer_pp:TransformerPP"),
            TransformerPPConfig,
        ),
        ModelSpec("last", Role.FLOOR, Untrained("baselines.trivial:CopyLast")),
    )
    plain = "plain"
    contrasts = (Contrast("ebt", "plain", "Is the EBT better than a plain regressor?"),)
    entry_points = "ebt_bench.signals"

    def prepare(self, config: RunConfig, inputs: Inputs) -> SignalsData:
        return SignalsData(config.domain.fastest)

    def judge(self, evaluation: Any, perception: Any, data: Any, device: str) -> SignalJudge:
        return SignalJudge(data)

    def samples(self, config: RunConfig, shifts: Any, inputs: Inputs) -> SignalSamples:
        fastest = config.domain.fastest
        return SignalSamples(SignalsData(fastest), shifts, fastest)

    def items(self, data: SignalsData, most: int | None) -> list[Items]:
        speeds = {split: values.double().numpy() for split, values in data.frequencies.items()}
        return [Items("signals", data.clips, data.keys, [Label("frequency", None, speeds)])]

    def views(self, noise_steps: list[int], seed: int) -> Any:
        return whole_clips()

    def fake_data(self, config: RunConfig) -> FakeData:
        clips = FakeClips(PIECES, Pieces())
        return FakeData(clips, clips, Pieces())

    def built_in(self, config: Any) -> tuple[str, Any]:
        raise NotImplementedError

    def headline(self, result: Result, part: str | None) -> Table:
        return ["model"], [[model.name] for model in result.models]

    def report(self, folder: Path, result: Result) -> Report:
        said = [verdict.question for verdict in result.verdicts]
        return Report("Signals", said, [Section("Models", [self.headline(result, None)])])
