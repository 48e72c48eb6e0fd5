"""How next-frame prediction is judged: teacher-forced, by rollouts, and as samples."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.config import JSON
from benchmarks.domains.judging import ComparingJudge, CostCall
from benchmarks.domains.video.conditions import (
    FUTURES,
    JUDGED,
    PLACES,
    SAMPLED_FRAMES,
    SELECTING,
    FrameCondition,
)
from benchmarks.domains.video.config import VideoEvaluationConfig
from benchmarks.domains.video.data import VideoData
from benchmarks.domains.video.distances import RolloutDistances
from benchmarks.domains.video.futures import KnownFutures
from benchmarks.domains.video.sampled import (
    TrueMean,
    TrueSamples,
    frame_metrics,
    frame_scores,
    horizon_scores,
    sampled_rollouts,
)
from benchmarks.measure.costs import count_flops
from benchmarks.measure.energies import energy_metrics, energy_scores
from benchmarks.measure.intervals import skill
from benchmarks.measure.metrics import (
    cosine,
    embedding_errors,
    frame_psnr,
    frame_quality,
    frame_sums,
)
from benchmarks.measure.perception import Perception
from benchmarks.measure.pictures import spread, thinking_pictures, to_bytes, write_pictures
from benchmarks.measure.scores import (
    Scores,
    Values,
    mean_by_source,
    means,
    metric,
)
from benchmarks.measure.verdicts import compare
from benchmarks.record.metrics import AHEAD, ENERGIES
from benchmarks.record.results import Comparison, Metric
from benchmarks.record.selection_metric import EMBEDDINGS, PIXELS
from data_prep.shards.plan import digest
from worldmodel.data import loader_workers, ordered_batches
from worldmodel.predictor import Clips, Predictor, Setting, Trajectory

# Linear extrapolation needs two frames, so the third frame is the first that all models predict.
FIRST_TARGET = 2

FrameScores = Scores[FrameCondition]


class FrameJudge(ComparingJudge[FrameCondition]):
    """Judges predictors on the held-out splits of a run's data.

    `copy_last` is the model against which skill is measured. All settings are judged
    teacher-forced; rollouts are run, and samples drawn, at the selected, the trained and fixed
    settings. Rollouts are judged by `perception`, if any, too.
    """

    main = PLACES[0]
    selects, contrasted = SELECTING, JUDGED

    def __init__(
        self,
        config: VideoEvaluationConfig,
        data: VideoData,
        copy_last: Predictor,
        device: str,
        perception: Perception | None = None,
    ):
        self.config, self.data, self.device = config, data, device
        self.perception = perception
        self.skipped = perception.skipped if perception is not None else []
        self.futures = KnownFutures(data, "test")
        self.tested = dict(zip(PLACES, JUDGED, strict=True))
        if config.samples:
            self.tested[FUTURES] = SAMPLED_FRAMES
        self.conditions = (SELECTING, *self.tested.values())
        self.with_energies = {PLACES[0]: JUDGED[0]}
        self.quality = PIXELS if data.encoder.decodable else EMBEDDINGS
        self.chosen = {
            split: _chosen(len(data.clips(split)), config.max_clips)
            for split in ("validation", "test")
        }
        self._copy_last_mse = {
            condition: self.values(copy_last, [Setting()], condition)[0]["mse"][None]
            for condition in (SELECTING, *JUDGED)
        }

    def selecting(self, condition: FrameCondition) -> FrameCondition:
        """Teacher-forced prediction on validation."""
        return SELECTING

    def wanted(self, predictor: Predictor, setting: Setting, condition: FrameCondition) -> bool:
        """All settings teacher-forced; in rollouts and as samples the trained and fixed ones."""
        teacher_forced = condition.protocol == "teacher_forced"
        return teacher_forced or setting.fixed or setting == predictor.trained_setting()

    def values(
        self, predictor: Predictor, settings: Sequence[Setting], condition: FrameCondition
    ) -> list[dict[str, np.ndarray]]:
        """Every metric per video `[videos]`, for each setting."""
        clips, chosen = self.data.clips(condition.split), self.chosen[condition.split]
        sources = [clips.samples[index].source for index in chosen]
        distances = None
        if condition.protocol == "rollout":
            i3d = self.perception.i3d if self.perception else None
            distances = RolloutDistances(sources, self.data.encoder.dim, len(settings), i3d)
        parts: list[list[dict[str, Tensor]]] = []
        workers, done = loader_workers(self.device), 0
        for stored in ordered_batches(clips, self._batch_size(condition), workers, chosen):
            batch: Clips = stored.to(self.device)
            places = range(done, done + len(batch.keys))
            done = places.stop
            indices = chosen[places.start : places.stop]
            truth = self.data.truth(condition.split, indices, batch.embeddings)
            if distances is not None:
                parts.append(self._rollouts(predictor, settings, batch, truth, distances, places))
            elif condition == SAMPLED_FRAMES:
                parts.append(self._samples(predictor, settings, batch, truth))
            else:
                parts.append(self._teacher_forced(predictor, settings, batch, truth, condition))
        return [
            {
                name: mean_by_source(torch.cat([scores[name] for scores in of_setting]), sources)
                for name in of_setting[0]
            }
            | (distances.values(number) if distances is not None else {})
            for number, of_setting in enumerate(zip(*parts, strict=True))
        ]

    def metrics(self, values: Values, condition: FrameCondition) -> dict[str, Metric]:
        """Skill against `copy_last`, and how well the energy, or the spread, knows the error."""
        if condition == SAMPLED_FRAMES:
            return frame_metrics(values)
        found = skill(values["mse"], self._copy_last_mse[condition])
        against = {} if found is None else {"skill": metric("skill", found)}
        return against | energy_metrics(values)

    def cost_call(
        self, predictor: Predictor, setting: Setting, condition: FrameCondition
    ) -> CostCall:
        """Prediction of all frames of a clip, or a rollout."""
        clip = self._single_clip()
        if condition.protocol == "rollout":
            context = clip.frames(0, self.config.context_frames)
            call = partial(predictor.rollout, context, self.config.horizon, setting)
            return CostCall("rollout", call)
        return CostCall("predict", partial(predictor.predict, clip.frames(0, -1), setting))

    def references(self) -> dict[FrameCondition, dict[str, Predictor]]:
        """The mean of what may follow, and samples of it, where that is known."""
        if not self.config.samples or not self.futures.open:
            return {}
        known: dict[str, Predictor] = {
            "true_mean": TrueMean(self.futures),
            "true_samples": TrueSamples(self.futures),
        }
        return {SAMPLED_FRAMES: known}

    def unit_flops(self, plain: Predictor) -> int:
        """FLOPs of one forward pass of the plain baseline over a clip: the unit of all models."""
        context, plain = self._single_clip().frames(0, -1), plain.to(self.device)
        return count_flops(lambda: plain.predict(context, plain.trained_setting()))

    def place(self, condition: FrameCondition) -> str:
        """The split."""
        return condition.split

    def describe(self) -> JSON:
        """What the encoder loses, and the metrics of perception."""
        ceiling = encoder_ceiling(self.data, self.chosen["test"])
        return {"encoder_ceiling": ceiling, "perception": self._describe_perception()}

    def comparisons(self, scores: dict[str, FrameScores]) -> list[Comparison]:
        """Quality of the first model against each other, at the selected settings."""
        found = []
        for condition in JUDGED:
            chosen = [(name, scored.selected(condition)) for name, scored in scores.items()]
            pairs = [(chosen[0], other) for other in chosen[1:]]
            found += compare(scores, pairs, condition)
        return found

    def identity(self, condition: FrameCondition) -> str:
        """What is judged under a condition: the same frames of the same clips, the same name."""
        shards = self.data.frames or self.data.embeddings
        judged: list[object] = [condition.protocol, self.config.max_clips, self.data.used]
        if condition.protocol != "teacher_forced":
            judged.append(self.config.samples)
        if condition.protocol == "rollout":
            judged += [self.config.context_frames, self.config.horizon]
        return digest(shards.manifest["shards"], condition.split, judged)

    def _describe_perception(self) -> JSON:
        """By which weights, and on what, the metrics of perception were computed."""
        if self.perception is None:
            return {}
        frames = self.config.context_frames + self.config.horizon
        height, width = self.data.decode(self._single_clip().embeddings[:, :1]).shape[-2:]
        videos = f"{len(self.chosen['test'])} clips of {frames} frames, {height}x{width}"
        return self.perception.describe() | {"videos": f"{videos}, {self.device}"}

    def write_pictures(
        self, out: Path, models: Mapping[str, tuple[Predictor, FrameScores]]
    ) -> str | None:
        """Write the truth and the rollouts of a few test clips for the figures, as pixels.

        `thinking/NAME/...` holds how the first frame of each rollout came to be.
        """
        if not self.data.encoder.decodable:
            return None
        start, horizon = self.config.context_frames, self.config.horizon
        clips = self.data.clips("test")
        # Clips of different videos, spread over the split.
        chosen = spread(self.config.figure_samples, len(clips))
        embeddings = torch.stack([clips[i][1] for i in chosen]).to(self.device)
        context = Clips(embeddings[:, :start], [clips[i][0] for i in chosen])
        truth = self.data.truth("test", chosen, embeddings)
        assert truth is not None
        pictures = {"truth": to_bytes(truth[:, : start + horizon])}
        for name, (predictor, scores) in models.items():
            setting = scores.settings[scores.selected(JUDGED[1])]
            rollout = predictor.rollout(context, horizon, setting)
            pictures[name] = to_bytes(self.data.decode(rollout))
            thought = thinking_pictures(
                predictor, context, self.config.counts, embeddings[:, start], self.data.decode
            )
            pictures |= {f"thinking/{name}/{kind}": values for kind, values in thought.items()}
        return write_pictures(out, pictures)

    def _teacher_forced(
        self,
        predictor: Predictor,
        settings: Sequence[Setting],
        batch: Clips,
        truth: Tensor | None,
        condition: FrameCondition,
    ) -> list[dict[str, Tensor]]:
        trajectories = predictor.predict_all(batch.frames(0, -1), settings, energies=True)
        scores = (self._trajectory_scores(t, batch, truth, condition) for t in trajectories)
        return list(scores)

    def _trajectory_scores(
        self, trajectory: Trajectory, batch: Clips, truth: Tensor | None, condition: FrameCondition
    ) -> dict[str, Tensor]:
        scores = self._quality(
            trajectory.prediction[:, FIRST_TARGET - 1 :],
            batch.embeddings[:, FIRST_TARGET:],
            None if truth is None else truth[:, FIRST_TARGET:],
            condition,
        )
        scores |= {
            name: value[:, FIRST_TARGET - 1 :]
            for name, value in energy_scores(trajectory, batch.embeddings[:, 1:]).items()
        }
        metrics = {name: value.mean(1) for name, value in scores.items()}
        if trajectory.energies is not None:
            metrics[ENERGIES] = trajectory.energies[:, :, FIRST_TARGET - 1 :].mean(2).T
        return metrics

    def _batch_size(self, condition: FrameCondition) -> int:
        """Clips at once: few where each has many samples."""
        samples = self.config.samples if condition == SAMPLED_FRAMES else 1
        return max(1, self.config.batch_size // samples)

    def _samples(
        self, predictor: Predictor, settings: Sequence[Setting], batch: Clips, truth: Tensor | None
    ) -> list[dict[str, Tensor]]:
        """Scores of samples of the next frames, one setting after the other."""
        outcomes, first = None, FIRST_TARGET - 1
        if self.futures.open:
            outcomes = self.futures.outcomes(batch.keys).since(first).to(self.device)
        target = batch.embeddings[:, FIRST_TARGET:]
        seen = None if truth is None else truth[:, FIRST_TARGET:]
        found = []
        for setting in settings:
            samples = predictor.sample(batch.frames(0, -1), setting, self.config.samples)[:, first:]
            found.append(frame_scores(samples, target, seen, outcomes, self.data.decode))
        return found

    def _rollouts(
        self,
        predictor: Predictor,
        settings: Sequence[Setting],
        batch: Clips,
        truth: Tensor | None,
        distances: RolloutDistances,
        places: range,
    ) -> list[dict[str, Tensor]]:
        """Scores of the clips at `places` of the split; `distances` gathers all rollouts."""
        start, end = self.config.context_frames, self.config.context_frames + self.config.horizon
        videos = None if truth is None else truth[:, :end]
        distances.add_truth(places, batch.embeddings[:, start:end], videos)
        found = []
        for number, setting in enumerate(settings):
            context = batch.frames(0, start)
            prediction = predictor.rollout(context, end - start, setting)
            decoded = None if truth is None else self.data.decode(prediction)
            scores = self._rollout_scores(prediction, decoded, batch, truth)
            drawn = prediction[:, :, None]
            if count := self.config.samples:
                drawn = sampled_rollouts(predictor, context, prediction, setting, count)
                scores |= horizon_scores(drawn, batch.embeddings[:, start:end])
            found.append(scores)
            if decoded is not None and truth is not None:
                videos = torch.cat([truth[:, :start], decoded], dim=1)
            distances.add(number, places, drawn, videos)
        return found

    def _rollout_scores(
        self, prediction: Tensor, decoded: Tensor | None, batch: Clips, truth: Tensor | None
    ) -> dict[str, Tensor]:
        """Scores of rollouts `[B, T, P, D]`, and of their `decoded` frames."""
        start, horizon = self.config.context_frames, self.config.horizon
        target = slice(start, start + horizon)
        seen = None if truth is None else truth[:, target]
        scores = self._quality(prediction, batch.embeddings[:, target], seen, JUDGED[1], decoded)
        if decoded is not None and seen is not None:
            scores |= frame_sums(decoded, seen)
        if decoded is not None and seen is not None and self.perception and self.perception.lpips:
            lpips = self.perception.lpips(decoded.flatten(0, 1), seen.flatten(0, 1))
            scores["lpips"] = lpips.view(decoded.shape[:2])
        metrics = {name: value.mean(1) for name, value in scores.items()}
        return metrics | {f"{self.quality.metric}{AHEAD}": scores[self.quality.metric]}

    def _quality(
        self,
        prediction: Tensor,
        target: Tensor,
        truth: Tensor | None,
        condition: FrameCondition,
        decoded: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Errors and quality `[B, T]`; on validation, which only selects, no slow SSIM."""
        errors = embedding_errors(prediction, target)
        if truth is None:
            return errors | {"cosine": cosine(prediction, target)}
        decoded = self.data.decode(prediction) if decoded is None else decoded
        if condition == SELECTING:
            return errors | {"psnr": frame_psnr(decoded, truth)}
        return errors | frame_quality(decoded, truth)

    def _single_clip(self) -> Clips:
        key, embeddings = self.data.clips("test")[0]
        return Clips(embeddings[None].to(self.device), [key])


def encoder_ceiling(data: VideoData, chosen: Sequence[int]) -> dict[str, dict[str, float]] | None:
    """PSNR and SSIM of judged test targets after encoding and decoding: the best to be had.

    None where the truth itself is decoded, or nothing can be.
    """
    if data.frames is None or not data.encoder.decodable:
        return None
    clips = data.clips("test")
    parts: dict[str, list[Tensor]] = {}
    for index in chosen:
        embeddings = clips[index][1][None]
        truth = data.truth("test", [index], embeddings)
        assert truth is not None
        decoded = data.decode(embeddings[:, FIRST_TARGET:])
        quality = frame_quality(decoded, truth[:, FIRST_TARGET:])
        for name, value in quality.items():
            parts.setdefault(name, []).append(value.mean(1))
    sources = [clips.samples[index].source for index in chosen]
    values = {n: mean_by_source(torch.cat(part), sources)[None] for n, part in parts.items()}
    return {name: asdict(metric) for name, metric in means(values).items()}


def _chosen(total: int, most: int | None) -> list[int]:
    """The clips that are judged: all, or at most so many of them at random, always the same."""
    if most is None or most >= total:
        return list(range(total))
    found: list[int] = np.random.default_rng(0).permutation(total)[:most].tolist()
    return sorted(found)
