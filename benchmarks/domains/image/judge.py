"""How denoising is judged: every model on the same noisy images, under every corruption."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from benchmarks.config import JSON
from benchmarks.domains.image.conditions import TOLD, VALIDATION, ImageCondition
from benchmarks.domains.image.config import ImageEvaluationConfig
from benchmarks.domains.image.data import ImageData, ImageSet
from benchmarks.domains.image.whole import WholeImages
from benchmarks.domains.judging import ComparingJudge, CostCall
from benchmarks.measure.costs import count_flops
from benchmarks.measure.energies import energy_metrics, energy_scores
from benchmarks.measure.intervals import pooled_psnr
from benchmarks.measure.metrics import embedding_errors, frame_quality, pixel_mse
from benchmarks.measure.perception import Perception
from benchmarks.measure.pictures import spread, thinking_pictures, to_bytes, write_pictures
from benchmarks.measure.scores import (
    Scores,
    Values,
    mean_by_source,
    metric,
)
from benchmarks.measure.verdicts import compare
from benchmarks.record.metrics import ENERGIES
from benchmarks.record.results import Comparison, Metric
from data_prep.shards.plan import digest
from denoise.data import NoisyImages
from denoise.diffusion import signal_and_noise
from denoise.model import Denoiser
from denoise.whole_images import PixelDenoiser, Tiling, denoise_whole
from worldmodel.predictor import Predictor, Setting, Trajectory

ImageScores = Scores[ImageCondition]


class ImageJudge(ComparingJudge[ImageCondition]):
    """Judges denoisers on the validation and test images of a run, under every corruption."""

    def __init__(
        self,
        config: ImageEvaluationConfig,
        data: ImageData,
        device: str,
        perception: Perception,
    ):
        self.config, self.data, self.device = config, data, device
        self.perception = perception
        validation = data.validation_set.first(config.validation_images)
        self.sets = {VALIDATION: validation} | data.test_sets
        size = int(data.frames.manifest["arguments"]["size"])
        self.tiling = Tiling(size, config.tile_overlap, config.batch_size)
        self.first_set = next(iter(data.test_sets))
        self.corruptions = {corruption.name: corruption for corruption in data.corruptions}
        # Validation first, since it selects.
        self.conditions = [
            ImageCondition(name, corruption)
            for name in self.sets
            for corruption in self.corruptions
        ]
        tested = [c for c in self.conditions if c.images != VALIDATION]
        self.tested = {self.place(c): c for c in tested}
        self.selects = self.trained_condition
        self.main = self.place(self.selects)
        self.with_energies = self.swept_conditions
        self.contrasted = self._contrasted()
        self.skipped = perception.skipped
        self._steps: dict[ImageCondition, int] = {}

    @property
    def trained_condition(self) -> ImageCondition:
        """The first test set under the noise that models are trained for."""
        return ImageCondition(self.first_set, self.data.trained_corruption.name)

    def _contrasted(self) -> list[ImageCondition]:
        """Where the declared contrasts are judged: at the trained level, and at the strongest one.

        Both on the first test set, among the levels at which every setting is judged.
        """
        strongest = max(self.data.corruption.swept_levels)
        found = [c for c in self.swept_conditions.values() if c == self.trained_condition]
        return found + [
            condition
            for condition in self.swept_conditions.values()
            if condition not in found and self.corruptions[condition.corruption].level == strongest
        ]

    @property
    def swept_conditions(self) -> dict[str, ImageCondition]:
        """The first test set under each swept level, by the level's name."""
        conditions = [ImageCondition(self.first_set, name) for name in self.corruptions]
        return {c.corruption: c for c in conditions if self._swept(c)}

    def place(self, condition: ImageCondition) -> str:
        """The images and the corruption."""
        return f"{condition.images}, {condition.corruption}"

    def traits(self, predictor: Predictor) -> list[str]:
        """Whether the model is told how strong the noise is."""
        return [TOLD] if _denoiser(predictor).told_noise else []

    def describe(self) -> JSON:
        """Each corruption with its diffusion step and noise, and the metrics of perception.

        Models that are told the noise are told this step.
        """
        described = []
        for corruption in self.corruptions.values():
            step = self.told_step(ImageCondition(self.first_set, corruption.name))
            described.append(
                {
                    "name": corruption.name,
                    "level": corruption.level,
                    "step": step,
                    "noise_std": signal_and_noise(step)[1],
                }
            )
        return {"corruptions": described, "perception": self.perception.describe()}

    def identity(self, condition: ImageCondition) -> str:
        """What is judged under a condition: the same noise on the same images, the same name."""
        noise = asdict(self.data.corruption)
        if whole := self.whole(condition):
            return digest(whole.checksums, whole.grey, condition.corruption, noise)
        images = self.sets[condition.images]
        return digest(images.shards.manifest["shards"], images.keys, condition.corruption, noise)

    def selecting(self, condition: ImageCondition) -> ImageCondition:
        """Validation images under the same corruption."""
        return ImageCondition(VALIDATION, condition.corruption)

    def shows(self, predictor: Predictor, condition: ImageCondition) -> bool:
        """Whether a denoiser can do it.

        A slow one is judged on whole images, and on test images at the swept levels; one that was
        made for one noise only under that.
        """
        denoiser, sigma = _denoiser(predictor), self.corruptions[condition.corruption].sigma
        if denoiser.only_sigma is not None and sigma != denoiser.only_sigma:
            return False
        fast = not denoiser.slow or (condition.images != VALIDATION and self._swept(condition))
        return fast or self.whole(condition) is not None

    def wanted(self, predictor: Predictor, setting: Setting, condition: ImageCondition) -> bool:
        """All settings where the level is swept, else few; never more passes than noise levels.

        On whole images the selected setting alone.
        """
        if self.whole(condition) is not None:
            return False
        if setting.fixed:
            return condition.images == self.first_set and self._swept(condition)
        if setting.count is None:
            return True
        if _denoiser(predictor).told_noise and setting.count > self.told_step(condition) + 1:
            return False
        few = setting.count in self.config.few or setting == predictor.trained_setting()
        if condition.images == VALIDATION and self.corruptions[condition.corruption].sigma:
            return True  # on whole images the selected one of all is judged
        return few or (condition.images in (VALIDATION, self.first_set) and self._swept(condition))

    def values(
        self, predictor: Predictor, settings: Sequence[Setting], condition: ImageCondition
    ) -> list[dict[str, np.ndarray]]:
        """Every metric per source `[sources]`, for each setting."""
        if whole := self.whole(condition):
            return [self._on_whole(predictor, s, whole, condition) for s in settings]
        images = self.sets[condition.images]
        if _denoiser(predictor).slow:
            images = images.first(self.config.slow_images)
        parts: list[list[dict[str, Tensor]]] = [[] for _ in settings]
        for batch in images.batches(self.config.batch_size):
            truth = batch.frames(self.device)
            trajectories = predictor.predict_all(
                self.noisy(condition, batch), settings, energies=True
            )
            for part, trajectory in zip(parts, trajectories, strict=True):
                part.append(self._scores(trajectory, truth))
        return [
            {
                name: mean_by_source(torch.cat([scores[name] for scores in part]), images.sources)
                for name in part[0]
            }
            for part in parts
        ]

    def metrics(self, values: Values, condition: ImageCondition) -> dict[str, Metric]:
        """PSNR of the mean squared error over all images, as published; what the energy knows."""
        pooled = {"psnr_pooled": metric("psnr_pooled", pooled_psnr(values["mse"]))}
        return pooled | energy_metrics(values)

    def cost_call(
        self, predictor: Predictor, setting: Setting, condition: ImageCondition
    ) -> CostCall:
        """Denoising of one image; the noise changes the cost of a fixed protocol alone."""
        if whole := self.whole(condition):
            predict = partial(predictor.predict, self._single_image(), setting)
            height, width = whole.sizes[0]
            if isinstance(predictor, PixelDenoiser):
                crops = math.ceil(height * width / self.tiling.size**2)
                return CostCall("predict", predict, crops, at_once=True)
            return CostCall("predict", predict, self.tiling.count(height, width))
        if setting.fixed:
            image = self.noisy(condition, self.sets[condition.images].at([0]))
            return CostCall(self.told_step(condition), partial(predictor.predict, image, setting))
        return CostCall("predict", partial(predictor.predict, self._single_image(), setting))

    def noisy(self, condition: ImageCondition, images: ImageSet) -> NoisyImages:
        """Some noisy images of a condition's set, the same for every model."""
        return images.noisy(
            self.corruptions[condition.corruption],
            self.data.encoder,
            self.data.corruption.seed,
            self.told_step(condition),
            self.device,
        )

    def whole(self, condition: ImageCondition) -> WholeImages | None:
        """The whole images of a condition, where it is noise on these."""
        if self.corruptions[condition.corruption].sigma is None:
            return None
        return self.data.whole_sets.get(condition.images)

    def _on_whole(
        self,
        predictor: Predictor,
        setting: Setting,
        images: WholeImages,
        condition: ImageCondition,
    ) -> dict[str, np.ndarray]:
        """PSNR, SSIM and squared error of each whole image `[sources]`."""
        denoiser, corruption = _denoiser(predictor), self.corruptions[condition.corruption]
        assert corruption.sigma is not None
        most = self.config.slow_whole_images if denoiser.slow else None
        found: dict[str, list[float]] = {}
        for source in images.first(most).sources:
            truth = images.clean(source)
            noisy = images.noisy(truth, source, corruption, self.data.corruption.seed)
            truth, noisy = truth.to(self.device), noisy.to(self.device)
            how = setting, self.data.encoder, self.tiling, source
            clean = images.read_as(denoise_whole(denoiser, noisy, corruption.sigma, *how))
            quality = frame_quality(clean[None, None], truth[None, None])
            quality["mse"] = pixel_mse(clean[None], truth[None])
            for name, value in quality.items():
                found.setdefault(name, []).append(float(value))
        return {name: np.array(values) for name, values in found.items()}

    def told_step(self, condition: ImageCondition) -> int:
        """The diffusion step that models are told under a condition."""
        if condition not in self._steps:
            corruption = self.corruptions[condition.corruption]
            images = self.sets[condition.images]
            self._steps[condition] = images.told_step(corruption, self.data.corruption.seed)
        return self._steps[condition]

    def unit_flops(self, plain: Predictor) -> int:
        """FLOPs of one pass of the direct regressor over one image: the unit of all models."""
        plain, image = plain.to(self.device), self._single_image()
        return count_flops(lambda: plain.predict(image, plain.trained_setting()))

    def comparisons(self, scores: dict[str, ImageScores]) -> list[Comparison]:
        """Paired differences in PSNR on the test sets.

        Every model against `dit` and `direct`, each at its selected setting; the first model
        against all others so, and against every setting of `dit` and `dit_published` as well.
        """
        found = []
        first = next(iter(scores))
        for condition in self.conditions:
            if condition.images == VALIDATION:
                continue
            here = {
                name: scored.selected(condition)
                for name, scored in scores.items()
                if (scored.selected(condition), condition) in scored.values
            }
            if first not in here:  # a slow one is not judged everywhere
                continue
            pairs = [((first, here[first]), (name, index)) for name, index in here.items()]
            for reference in ("dit", "direct"):
                if reference in here:
                    pairs += [(model, (reference, here[reference])) for model in here.items()]
            for dit in ("dit", "dit_published"):
                if dit in here:
                    judged = [index for index, where in scores[dit].values if where == condition]
                    pairs += [((first, here[first]), (dit, index)) for index in judged]
            distinct = dict.fromkeys(pair for pair in pairs if pair[0] != pair[1])
            found += compare(scores, distinct, condition)
        return found

    def write_pictures(self, out: Path, models: Mapping[str, tuple[Predictor, ImageScores]]) -> str:
        """Write clean, noisy and denoised images for the figures.

        Under the noise that models are trained for, `thinking/NAME/...` holds how they came to be.
        """
        pictures = {}
        for condition in self.conditions:
            if condition.images == VALIDATION or not self._swept(condition):
                continue
            images = self.sets[condition.images]
            shown = images.at(spread(self.config.figure_samples, len(images.samples)))
            noisy = self.noisy(condition, shown)
            place = f"{condition.images}/{condition.corruption}"
            pictures[f"{place}/clean"] = to_bytes(shown.frames())
            pictures[f"{place}/noisy"] = to_bytes(self.data.decode(noisy.embeddings))
            for name, (predictor, scores) in models.items():
                if not self.shows(predictor, condition):
                    continue
                setting = scores.settings[scores.selected(condition)]
                prediction = predictor.predict(noisy, setting).prediction
                pictures[f"{place}/{name}"] = to_bytes(self.data.decode(prediction))
            if condition == self.trained_condition:
                pictures |= self._thinking(noisy, shown, models)
        return write_pictures(out, pictures)

    def _thinking(
        self,
        noisy: NoisyImages,
        shown: ImageSet,
        models: Mapping[str, tuple[Predictor, ImageScores]],
    ) -> dict[str, Tensor]:
        """Every model's way from noisy to denoised images, by name and kind."""
        encoder, counts = self.data.encoder, self.config.counts
        clean = encoder.encode(shown.frames(self.device))  # [B, P, D]

        def decode(steps: Tensor) -> Tensor:
            return encoder.decode(steps.flatten(0, 1)).unflatten(0, steps.shape[:2])

        return {
            f"thinking/{name}/{kind}": values
            for name, (predictor, _) in models.items()
            for kind, values in thinking_pictures(predictor, noisy, counts, clean, decode).items()
        }

    def _scores(self, trajectory: Trajectory, truth: Tensor) -> dict[str, Tensor]:
        prediction = self.data.decode(trajectory.prediction)
        quality = frame_quality(prediction[:, None], truth[:, None])
        scores = {name: value[:, 0] for name, value in quality.items()}
        scores["mse"] = pixel_mse(prediction, truth)
        if self.perception.lpips is not None:
            scores["lpips"] = self.perception.lpips(prediction, truth)
        clean = self.data.encoder.encode(truth)[:, None]  # [B, 1, P, D]
        scores["smooth_l1"] = embedding_errors(trajectory.prediction, clean)["smooth_l1"][:, 0]
        if trajectory.energies is not None:
            scores |= {name: v[:, 0] for name, v in energy_scores(trajectory, clean).items()}
            scores[ENERGIES] = trajectory.energies[:, :, 0].T
        return scores

    def _swept(self, condition: ImageCondition) -> bool:
        corruption = self.corruptions[condition.corruption]
        return corruption.level in self.data.corruption.swept_levels

    def _single_image(self) -> NoisyImages:
        condition = self.trained_condition
        return self.noisy(condition, self.sets[condition.images].at([0]))


def _denoiser(predictor: Predictor) -> Denoiser:
    return cast(Denoiser, predictor)  # every model of this task is one
