"""Image denoising: train every model, judge them alike, say what holds."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from benchmarks.config import Inputs
from benchmarks.contrasts import IMAGES
from benchmarks.tasks.contract import Task
from benchmarks.tasks.denoise.config import DenoiseConfig
from benchmarks.tasks.denoise.models import MODELS

if TYPE_CHECKING:
    from benchmarks.measure.perception import Perception
    from benchmarks.reporting.page import Report
    from benchmarks.reporting.results import Result
    from benchmarks.reporting.tables import Table
    from benchmarks.tasks.denoise.data import DenoiseData
    from benchmarks.tasks.denoise.evaluation import ImageJudge
    from benchmarks.training.plan import PlannedModel


class Denoise(Task[DenoiseConfig, "DenoiseData"]):
    """Remove noise from images."""

    config = DenoiseConfig
    declared = MODELS
    takes = "denoiser"
    reserved_test_sets = ("validation", "dead_leaves", "photographs")

    def prepare(self, config: DenoiseConfig, inputs: Inputs) -> "DenoiseData":
        """Make or reuse the shards of a folder of images, a shard set, or the built-in corpus."""
        from benchmarks.tasks.denoise.data import prepare_data

        return prepare_data(config, inputs)

    def models(self, config: DenoiseConfig, data: "DenoiseData") -> "list[PlannedModel]":
        """The models that the configuration names."""
        from benchmarks.training.plan import plan_models

        return plan_models(self.specs, config, data)

    def run(self, config: DenoiseConfig, data: "DenoiseData", out: Path, device: str) -> "Result":
        """Train, judge and compare all models."""
        from baselines.config import DirectConfig
        from baselines.direct import DirectDenoiser
        from benchmarks.measure.energies import PAIR
        from benchmarks.measure.evaluation import judge_models, selected_setting
        from benchmarks.measure.perception import Perception
        from benchmarks.measure.scores import describe_places, write_selected_values, write_values
        from benchmarks.measure.verdicts import judge_contrasts
        from benchmarks.reporting.results import Result, describe_environment
        from benchmarks.tasks.denoise.conditions import TOLD, VALIDATION
        from benchmarks.tasks.denoise.evaluation import ImageJudge, compare_all
        from benchmarks.training.fit import TrainedModel, train_models, training_logs
        from denoise.model import Denoiser
        from worldmodel.predictor import Predictor, Setting

        perception = Perception(config.perception, device)
        skipped = _say_what_is_skipped(config, perception)
        judge = ImageJudge(config.evaluation, data, device, perception)

        def select(model: TrainedModel) -> Setting:
            condition = judge.selecting(judge.trained_condition)
            return selected_setting(model.predictors, judge, config.evaluation.counts, condition)

        trained = train_models(self.specs, config, data, out, device, select)
        plain = config.section("direct", DirectConfig)
        unit = judge.unit_flops(
            DirectDenoiser(plain, config.backbone, data.encoder.grid, data.encoder.dim)
        )

        def traits(model: Predictor) -> list[str]:
            return [TOLD] if cast(Denoiser, model).told_noise else []

        judged = judge_models(trained, judge, config.evaluation, unit, device, traits)
        shown = {m.name: (m.predictors[0], judged.scores[m.name]) for m in trained}
        tested = [c for c in judge.conditions if c.images != VALIDATION]
        places = [(f"{c.images}, {c.corruption}", c) for c in tested]
        selecting = [
            (f"validation, {c.corruption}", c) for c in judge.conditions if c.images == VALIDATION
        ]
        described = {
            "corruptions": _describe_corruptions(judge),
            "skipped": skipped,
            "perception": perception.describe(),
            "places": describe_places(places, judge.identity),
        }
        return Result(
            task="denoise",
            config=dataclasses.asdict(config),
            seeds=config.seeds,
            environment=describe_environment(device),
            data=data.describe() | described,
            models=judged.models,
            comparisons=compare_all(judged.scores, judge),
            verdicts=[
                verdict
                for condition in judge.contrasted
                for verdict in judge_contrasts(IMAGES, judged.scores, condition)
            ],
            files={
                "pictures": judge.write_pictures(out, shown),
                "energies": write_selected_values(
                    out, "energies", judged.scores, judge.swept_conditions.items(), PAIR
                ),
                "values": write_values(out, judged.scores, [*places, *selecting]),
                "logs": training_logs(trained, config.seeds),
            },
        )

    def headline(self, result: "Result", part: str | None = None) -> "Table":
        """Quality and cost of every model, at the trained level or under another corruption."""
        from benchmarks.tasks.denoise.report import headline
        from benchmarks.tasks.denoise.verdicts import TRAINED

        return headline(result, part or TRAINED)

    def report(self, folder: Path, result: "Result") -> "Report":
        """Tables, figures and sentences."""
        from benchmarks.tasks.denoise.report import make_report

        return make_report(folder, result)


def _say_what_is_skipped(config: DenoiseConfig, perception: "Perception") -> list[str]:
    from rich.console import Console

    from benchmarks.training.plan import skipped_models

    skipped = skipped_models(MODELS, config)
    skipped += perception.skipped
    for line in skipped:
        Console(stderr=True).print(f"skipped {line}", highlight=False, markup=False)
    return skipped


def _describe_corruptions(judge: "ImageJudge") -> list[dict[str, Any]]:
    """Each corruption with its diffusion step and noise; told models are told this step."""
    from benchmarks.tasks.denoise.conditions import ImageCondition
    from denoise.diffusion import signal_and_noise

    described = []
    for corruption in judge.corruptions.values():
        step = judge.told_step(ImageCondition(judge.first_set, corruption.name))
        described.append(
            {
                "name": corruption.name,
                "level": corruption.level,
                "step": step,
                "noise_std": signal_and_noise(step)[1],
            }
        )
    return described
