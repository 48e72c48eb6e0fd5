"""Judge every denoiser on the same noisy images: scores, selected settings, costs, comparisons."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from baselines.classical import BM3D
from benchmarks.config import DenoiseEvaluationConfig
from benchmarks.costs import Cost, count_flops, measure_cost
from benchmarks.metrics import frame_quality, lpips, lpips_weights, pixel_mse
from benchmarks.results import Comparison, Row, verdict
from benchmarks.scores import (
    Values,
    bootstrap_of,
    cheapest_near_best,
    mean_by_source,
    means,
    metric,
)
from benchmarks.tasks.denoise.data import DenoiseData, ImageSet
from data_prep.shards.storage import atomic_file
from denoise.corruption import Corruption
from denoise.data import NoisyImages
from worldmodel.predictor import Predictor, Setting, Trajectory

PICTURES = "pictures.safetensors"
Condition = tuple[str, str]  # image set and corruption


@dataclass
class Scores:
    """Values of one model by (setting, image set, corruption)."""

    settings: list[Setting]
    values: dict[tuple[int, str, str], Values] = field(default_factory=dict)

    def selected(self, corruption: str) -> int:
        """Index of the cheapest setting within 0.02 dB of the best PSNR on validation images.

        Validation images have the same corruption. The published protocol is fixed, not selected.
        """
        tried = [
            index
            for index, setting in enumerate(self.settings)
            if (index, "validation", corruption) in self.values
            and setting.get("sampler") != "published"
        ]
        if not tried:
            return 0
        psnr = [self.values[i, "validation", corruption]["psnr"].mean() for i in tried]
        return tried[cheapest_near_best([float(value) for value in psnr])]


class Evaluator:
    """Runs denoisers on the validation and test images of a run, under every corruption."""

    def __init__(self, config: DenoiseEvaluationConfig, data: DenoiseData, device: str):
        self.config, self.data, self.device = config, data, device
        self.has_lpips = lpips_weights().is_file()
        validation = data.validation_set.first(config.validation_images)
        self.sets = {"validation": validation} | data.test_sets
        self._noisy: dict[Condition, NoisyImages] = {}
        self._costs: dict[tuple[type, int, str], Cost] = {}

    @property
    def conditions(self) -> list[tuple[str, Corruption]]:
        """Every image set under every corruption; validation first, since it selects."""
        return [(name, corruption) for name in self.sets for corruption in self.data.corruptions]

    def noisy(self, name: str, corruption: Corruption) -> NoisyImages:
        """The noisy images of a set: made once, the same for every model."""
        if (name, corruption.name) not in self._noisy:
            images = self.sets[name]
            noisy = corruption.apply(
                images.frames, images.keys, self.data.encoder, self.data.corruption.seed
            )
            self._noisy[name, corruption.name] = noisy
        return self._noisy[name, corruption.name]

    def score(self, predictors: list[Predictor]) -> Scores:
        """Score a model, a predictor per seed, under all conditions."""
        scores = Scores(predictors[0].settings())
        for name, corruption in self.conditions:
            images = self.sets[name]
            if isinstance(predictors[0], BM3D):
                if name == "validation" or not self._swept(corruption):
                    continue
                images = images.first(self.config.bm3d_images)
            noisy = self.noisy(name, corruption)
            wanted = [
                index
                for index, setting in enumerate(scores.settings)
                if self._wanted(predictors[0], setting, name, corruption, noisy.step)
                or (name != "validation" and index == scores.selected(corruption.name))
            ]
            settings = [scores.settings[index] for index in wanted]
            per_seed = [self._judge(p, settings, images, noisy) for p in predictors]
            for index, values in zip(wanted, zip(*per_seed, strict=True), strict=True):
                scores.values[index, name, corruption.name] = {
                    key: np.stack([seed[key] for seed in values]) for key in values[0]
                }
        return scores

    def _swept(self, corruption: Corruption) -> bool:
        return corruption.level in self.data.corruption.swept_levels

    def _wanted(
        self, predictor: Predictor, setting: Setting, name: str, corruption: Corruption, step: int
    ) -> bool:
        """Whether a setting is evaluated: all where swept, else few; never beyond the noise."""
        count = setting.get("steps", setting.get("passes"))
        if count is None:
            return True
        if setting.get("sampler") == "published":
            return name == next(iter(self.data.test_sets)) and self._swept(corruption)
        if "sampler" in setting and int(count) > step + 1:
            return False
        few = count in self.config.few or setting == predictor.trained_setting()
        sweep = name in ("validation", next(iter(self.data.test_sets))) and self._swept(corruption)
        return few or sweep

    def _judge(
        self, predictor: Predictor, settings: list[Setting], images: ImageSet, noisy: NoisyImages
    ) -> list[dict[str, np.ndarray]]:
        """Every metric per source `[sources]`, for each setting."""
        parts: list[list[dict[str, Tensor]]] = [[] for _ in settings]
        for start in range(0, len(images.keys), self.config.batch_size):
            chosen = slice(start, min(start + self.config.batch_size, len(images.keys)))
            truth = images.frames[chosen].to(self.device)
            batch = batch_of(noisy, chosen).to(self.device)
            for part, trajectory in zip(parts, run_all(predictor, batch, settings), strict=True):
                part.append(self._metrics(trajectory, truth))
        return [
            {
                key: mean_by_source(torch.cat([scores[key] for scores in part]), images.sources)
                for key in part[0]
            }
            for part in parts
        ]

    def _metrics(self, trajectory: Trajectory, truth: Tensor) -> dict[str, Tensor]:
        prediction = self.data.decode(trajectory.prediction)
        quality = frame_quality(prediction[:, None], truth[:, None])
        scores = {name: value[:, 0] for name, value in quality.items()}
        scores["mse"] = pixel_mse(prediction, truth)
        if self.has_lpips:
            scores["lpips"] = lpips(prediction, truth)
        if trajectory.energies is not None:
            for step, energy in enumerate(trajectory.energies[:, :, 0]):
                scores[f"energy_{step}"] = energy
        return scores

    def unit_flops(self, plain: Predictor) -> int:
        """FLOPs of one pass of the direct regressor over one image: the unit of all models."""
        plain, image = plain.to(self.device), self._single_image()
        return count_flops(lambda: plain.predict(image, {"passes": 1}))

    def costs(self, predictor: Predictor, unit: int) -> list[Cost]:
        """Cost of denoising one image in each setting."""
        image, repeats = self._single_image(), self.config.latency_repeats
        size = sum(p.numel() for p in predictor.parameters())
        for setting in predictor.settings():
            kind = (type(predictor), size, str(setting))  # training changes no cost
            if kind not in self._costs:
                self._costs[kind] = measure_cost(
                    functools.partial(predictor.predict, image, setting),
                    predictor.backbone,
                    unit,
                    repeats,
                    self.device,
                )
        return [self._costs[type(predictor), size, str(s)] for s in predictor.settings()]

    def write_pictures(self, out: Path, models: Mapping[str, tuple[Predictor, Scores]]) -> str:
        """Write clean, noisy and denoised images for the figures, uint8 `[N, H, W, 3]`."""
        pictures = {}
        for name, images in self.data.test_sets.items():
            count = min(self.config.figure_images, len(images.keys))
            chosen = np.linspace(0, len(images.keys) - 1, count).astype(int).tolist()
            for corruption in self.data.corruptions:
                if not self._swept(corruption):
                    continue
                noisy = batch_of(self.noisy(name, corruption), chosen).to(self.device)
                place = f"{name}/{corruption.name}"
                pictures[f"{place}/clean"] = _to_bytes(images.frames[chosen])
                pictures[f"{place}/noisy"] = _to_bytes(self.data.decode(noisy.embeddings))
                for model, (predictor, scores) in models.items():
                    setting = scores.settings[scores.selected(corruption.name)]
                    prediction = predictor.predict(noisy, setting).prediction
                    pictures[f"{place}/{model}"] = _to_bytes(self.data.decode(prediction))
        with atomic_file(out / PICTURES) as file:
            file.write(safetensors.torch.save(pictures))
        return PICTURES

    def _single_image(self) -> NoisyImages:
        name = next(iter(self.data.test_sets))
        noisy = self.noisy(name, self.data.trained_corruption)
        return batch_of(noisy, slice(0, 1)).to(self.device)


def run_all(predictor: Predictor, noisy: NoisyImages, settings: list[Setting]) -> list[Trajectory]:
    """A trajectory for each setting; of an iterative model, parts of the longest."""
    if not predictor.iterative or not settings:
        return [predictor.predict(noisy, setting, energies=True) for setting in settings]
    (name,) = settings[0]
    longest = predictor.predict(noisy, max(settings, key=lambda s: int(s[name])), energies=True)
    energies = longest.energies
    return [
        Trajectory(longest.candidates[:stop], energies[:stop] if energies is not None else None)
        for stop in (int(setting[name]) + 1 for setting in settings)
    ]


def batch_of(noisy: NoisyImages, chosen: slice | list[int]) -> NoisyImages:
    """Some of the noisy images."""
    keys = np.array(noisy.keys)[chosen].tolist()
    return NoisyImages(noisy.embeddings[chosen], keys, noisy.step, noisy.signal)


def score_rows(scores: Scores, costs: list[Cost], config: DenoiseEvaluationConfig) -> list[Row]:
    """A row with intervals for each setting, image set and corruption."""
    rows = []
    for (index, name, corruption), values in scores.values.items():
        bootstrap = bootstrap_of(values, config.bootstrap_samples)
        metrics = means(values, bootstrap)
        metrics["psnr_pooled"] = metric(bootstrap.pooled_psnr(values["mse"]), True)
        chosen = index == scores.selected(corruption)
        setting = dict(scores.settings[index])
        rows.append(Row(setting, name, corruption, chosen, metrics, costs[index]))
    return rows


def compare(
    scores: dict[str, Scores], sets: list[str], config: DenoiseEvaluationConfig
) -> list[Comparison]:
    """Paired differences in PSNR on the test sets.

    Every model against `dit` and `direct`, each at its selected setting; the first model against
    all others so, and against every setting of `dit` as well.
    """
    comparisons = []
    first = next(iter(scores))
    for name in sets:
        for corruption in sorted({key[2] for key in scores[first].values}):
            here = {
                model: scored.selected(corruption)
                for model, scored in scores.items()
                if (scored.selected(corruption), name, corruption) in scored.values
            }
            pairs = [((first, here[first]), (other, here[other])) for other in here]
            for reference in ("dit", "direct"):
                if reference in here:
                    pairs += [((m, i), (reference, here[reference])) for m, i in here.items()]
            if "dit" in here:
                pairs += [
                    ((first, here[first]), ("dit", index))
                    for index in range(len(scores["dit"].settings))
                    if (index, name, corruption) in scores["dit"].values
                ]
            for a, b in dict.fromkeys(pair for pair in pairs if pair[0] != pair[1]):
                comparisons.append(_comparison(scores, a, b, name, corruption, config))
    return comparisons


def _comparison(
    scores: dict[str, Scores],
    a: tuple[str, int],
    b: tuple[str, int],
    name: str,
    corruption: str,
    config: DenoiseEvaluationConfig,
) -> Comparison:
    a_values, b_values = (
        scores[model].values[index, name, corruption]["psnr"] for model, index in (a, b)
    )
    both = min(a_values.shape[1], b_values.shape[1])  # a smaller set is the first of the larger
    a_values, b_values = a_values[:, :both], b_values[:, :both]
    bootstrap = bootstrap_of({"psnr": a_values}, config.bootstrap_samples)
    interval = bootstrap.difference(a_values, b_values)
    return Comparison(
        a=a[0],
        b=b[0],
        a_setting=dict(scores[a[0]].settings[a[1]]),
        b_setting=dict(scores[b[0]].settings[b[1]]),
        split=name,
        protocol=corruption,
        metric="psnr",
        difference=interval.mean,
        low=interval.low,
        high=interval.high,
        n=interval.n,
        verdict=verdict(a[0], b[0], interval.low, interval.high),
    )


def _to_bytes(frames: Tensor) -> Tensor:
    return (frames.clamp(0, 1) * 255 + 0.5).byte().permute(0, 2, 3, 1).cpu().contiguous()
