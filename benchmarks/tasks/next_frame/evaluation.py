"""Judge any predictor by the same protocols: scores per video, rows with intervals, comparisons."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from benchmarks.config import EvaluationConfig
from benchmarks.costs import Cost, count_flops, measure_cost
from benchmarks.metrics import embedding_errors, frame_quality
from benchmarks.results import Comparison, Row, verdict
from benchmarks.scores import (
    Values,
    bootstrap_of,
    cheapest_near_best,
    mean_by_source,
    means,
    metric,
)
from benchmarks.tasks.next_frame.data import NextFrameData
from data_prep.shards.storage import atomic_file
from worldmodel.data import ordered_batches
from worldmodel.predictor import Clips, Predictor, Setting

PROTOCOLS = ("teacher_forced", "rollout")
# Validation only selects the setting, by its teacher-forced quality.
EVALUATED = (("validation", "teacher_forced"), ("test", "teacher_forced"), ("test", "rollout"))
# Linear extrapolation needs two frames, so the third frame is the first that all models predict.
FIRST_TARGET = 2
PREDICTIONS = "predictions.safetensors"


@dataclass(frozen=True)
class Scores:
    """Values of one model by (setting, split, protocol), and the setting best on validation."""

    settings: list[Setting]
    values: dict[tuple[int, str, str], Values]

    @property
    def selected(self) -> Setting:
        """The cheapest setting within 0.02 dB of the best teacher-forced PSNR on validation."""
        return self.settings[self.selected_index]

    @property
    def selected_index(self) -> int:
        """Index of the selected setting; settings come cheapest first."""
        return cheapest_near_best(
            [
                float(self.values[i, "validation", "teacher_forced"]["psnr"].mean())
                for i in range(len(self.settings))
            ]
        )


class Evaluator:
    """Runs predictors on the held-out splits of a run's data."""

    def __init__(self, config: EvaluationConfig, data: NextFrameData, device: str):
        self.config, self.data, self.device = config, data, device
        self.frames = {split: data.true_frames(split) for split in ("validation", "test")}

    def score(self, predictors: list[Predictor]) -> Scores:
        """Score a model, a predictor per seed, in all its settings."""
        settings = predictors[0].settings()
        values = {}
        for index, setting in enumerate(settings):
            for split, protocol in EVALUATED:
                per_seed = [self._score_split(p, setting, split, protocol) for p in predictors]
                values[index, split, protocol] = {
                    name: np.stack([scores[name] for scores in per_seed]) for name in per_seed[0]
                }
        return Scores(settings, values)

    def _score_split(
        self, predictor: Predictor, setting: Setting, split: str, protocol: str
    ) -> dict[str, np.ndarray]:
        clips = self.data.clips(split)
        judge = self._rollout if protocol == "rollout" else self._teacher_forced
        parts: list[dict[str, Tensor]] = []
        for batch in ordered_batches(clips, self.config.batch_size):
            start = len(parts) * self.config.batch_size
            truth = self.frames[split][start : start + len(batch.keys)].to(self.device)
            parts.append(judge(predictor, setting, batch.to(self.device), truth))
        sources = [sample.source for sample in clips.samples]
        return {
            name: mean_by_source(torch.cat([part[name] for part in parts]), sources)
            for name in parts[0]
        }

    def _teacher_forced(
        self, predictor: Predictor, setting: Setting, batch: Clips, truth: Tensor
    ) -> dict[str, Tensor]:
        trajectory = predictor.predict(batch.frames(0, -1), setting, energies=True)
        prediction = trajectory.prediction[:, FIRST_TARGET - 1 :]
        scores = self._quality(
            prediction, batch.embeddings[:, FIRST_TARGET:], truth[:, FIRST_TARGET:]
        )
        metrics = {name: value.mean(1) for name, value in scores.items()}
        if trajectory.energies is not None:
            for step, energy in enumerate(trajectory.energies[:, :, FIRST_TARGET - 1 :]):
                metrics[f"energy_{step}"] = energy.mean(1)
        return metrics

    def _rollout(
        self, predictor: Predictor, setting: Setting, batch: Clips, truth: Tensor
    ) -> dict[str, Tensor]:
        start, horizon = self.config.context_frames, self.config.horizon
        prediction = predictor.rollout(batch.frames(0, start), horizon, setting)
        target = slice(start, start + horizon)
        scores = self._quality(prediction, batch.embeddings[:, target], truth[:, target])
        metrics = {name: value.mean(1) for name, value in scores.items()}
        for ahead in range(horizon):
            metrics[f"psnr_{ahead + 1}"] = scores["psnr"][:, ahead]
        return metrics

    def _quality(self, prediction: Tensor, target: Tensor, truth: Tensor) -> dict[str, Tensor]:
        errors = embedding_errors(prediction, target)
        return errors | frame_quality(self.data.decode(prediction), truth)

    def unit_flops(self, plain: Predictor) -> int:
        """FLOPs of one forward pass of the plain baseline over a clip: the unit of all models."""
        context = self._single_clip().frames(0, -1)
        plain = plain.to(self.device)
        return count_flops(lambda: plain.predict(context, {}))

    def costs(self, predictor: Predictor, unit: int, repeats: int) -> dict[tuple[int, str], Cost]:
        """Cost at batch 1 of each (setting index, protocol): a clip's prediction, a rollout."""
        clip = self._single_clip()
        context = clip.frames(0, self.config.context_frames)
        costs = {}
        for index, setting in enumerate(predictor.settings()):
            for protocol in PROTOCOLS:

                def call(setting: Setting = setting, protocol: str = protocol) -> object:
                    if protocol == "rollout":
                        return predictor.rollout(context, self.config.horizon, setting)
                    return predictor.predict(clip.frames(0, -1), setting)

                costs[index, protocol] = measure_cost(
                    call, predictor.backbone, unit, repeats, self.device
                )
        return costs

    def write_predictions(self, out: Path, models: Mapping[str, tuple[Predictor, Setting]]) -> str:
        """Write rollouts of a few test clips for the figures, uint8 `[N, T, H, W, 3]`."""
        start, horizon = self.config.context_frames, self.config.horizon
        clips = self.data.clips("test")
        # Clips of different videos, spread over the split.
        count = min(self.config.figure_clips, len(clips))
        chosen = np.linspace(0, len(clips) - 1, count).astype(int).tolist()
        embeddings = torch.stack([clips[i][1] for i in chosen]).to(self.device)
        context = Clips(embeddings[:, :start], [clips[i][0] for i in chosen])
        truth = self.frames["test"][chosen][:, : start + horizon]
        pictures = {"truth": _to_bytes(truth)}
        for name, (predictor, setting) in models.items():
            rollout = predictor.rollout(context, horizon, setting)
            pictures[name] = _to_bytes(self.data.decode(rollout).cpu())
        with atomic_file(out / PREDICTIONS) as file:
            file.write(safetensors.torch.save(pictures))
        return PREDICTIONS

    def _single_clip(self) -> Clips:
        key, embeddings = self.data.clips("test")[0]
        return Clips(embeddings[None].to(self.device), [key])


def score_rows(
    scores: Scores,
    copy_last: Scores,
    costs: dict[tuple[int, str], Cost],
    config: EvaluationConfig,
) -> list[Row]:
    """A row with intervals for each setting, split and protocol."""
    rows = []
    for (index, split, protocol), values in scores.values.items():
        bootstrap = bootstrap_of(values, config.bootstrap_samples)
        metrics = means(values, bootstrap)
        reference = copy_last.values[0, split, protocol]["mse"]
        skill = bootstrap.skill(values["mse"], reference)
        if skill is not None:
            metrics["skill"] = metric(skill, True)
        selected = index == scores.selected_index
        setting = dict(scores.settings[index])
        rows.append(Row(setting, split, protocol, selected, metrics, costs[index, protocol]))
    return rows


def compare(
    scores: dict[str, Scores], names: list[str], config: EvaluationConfig
) -> list[Comparison]:
    """PSNR of the first model against each other on test, at the selected settings."""
    comparisons = []
    first = names[0]
    for protocol in PROTOCOLS:
        a = scores[first].values[scores[first].selected_index, "test", protocol]
        for other in names[1:]:
            b = scores[other].values[scores[other].selected_index, "test", protocol]
            bootstrap = bootstrap_of(a, config.bootstrap_samples)
            interval = bootstrap.difference(a["psnr"], b["psnr"])
            low, high = interval.low, interval.high
            said = verdict(first, other, low, high)
            comparisons.append(
                Comparison(
                    a=first,
                    b=other,
                    a_setting=dict(scores[first].selected),
                    b_setting=dict(scores[other].selected),
                    split="test",
                    protocol=protocol,
                    metric="psnr",
                    difference=interval.mean,
                    low=low,
                    high=high,
                    n=interval.n,
                    verdict=said,
                )
            )
    return comparisons


def encoder_ceiling(data: NextFrameData, config: EvaluationConfig) -> dict[str, Any] | None:
    """PSNR and SSIM of the test targets after encoding and decoding: no prediction can do better.

    None where the truth itself is decoded.
    """
    if data.frames is None:
        return None
    truth, clips = data.true_frames("test")[:, FIRST_TARGET:], data.clips("test")
    embeddings = torch.stack([clips[i][1] for i in range(len(clips))])[:, FIRST_TARGET:]
    sources = [sample.source for sample in clips.samples]
    quality = frame_quality(data.decode(embeddings), truth)
    values = {name: mean_by_source(v.mean(1), sources)[None] for name, v in quality.items()}
    bootstrap = bootstrap_of(values, config.bootstrap_samples)
    return {name: asdict(metric) for name, metric in means(values, bootstrap).items()}


def _to_bytes(frames: Tensor) -> Tensor:
    return (frames.clamp(0, 1) * 255 + 0.5).byte().permute(0, 1, 3, 4, 2).contiguous()
