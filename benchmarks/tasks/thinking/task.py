"""Thinking: what longer descent, choice by energy and the energy itself are worth."""

import dataclasses
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from benchmarks.config import ComparisonConfig, Inputs
from benchmarks.contrasts import IMAGES, VIDEO, Contrast
from benchmarks.tasks.contract import Task
from benchmarks.tasks.thinking.config import (
    DenoiseThinkingConfig,
    NextFrameThinkingConfig,
    ThinkingEvaluationConfig,
)
from benchmarks.tasks.thinking.models import ABLATION, DENOISE, NEXT_FRAME, PUBLISHED_DENOISE

if TYPE_CHECKING:
    from benchmarks.reporting.page import Report
    from benchmarks.reporting.results import Result
    from benchmarks.reporting.tables import Table
    from benchmarks.tasks.thinking.data import ThinkingData
    from benchmarks.training.plan import PlannedModel
    from worldmodel.predictor import Predictor

Config = TypeVar("Config", bound=ComparisonConfig)


class ThinkingTask(Task[Config, "ThinkingData"], Generic[Config]):
    """A part of thinking; it says what its data and its plain baseline are."""

    name: str
    contrasts: Sequence[Contrast]

    @abstractmethod
    def plain(self, config: Config, data: "ThinkingData") -> "Predictor":
        """The baseline one forward pass of which is the unit of compute."""

    @abstractmethod
    def evaluation(self, config: Config) -> ThinkingEvaluationConfig:
        """How the part is judged."""

    def models(self, config: Config, data: "ThinkingData") -> "list[PlannedModel]":
        """The models that the configuration names."""
        from benchmarks.training.plan import plan_models

        return plan_models(self.specs, config, data)

    def run(self, config: Config, data: "ThinkingData", out: Path, device: str) -> "Result":
        """Train, judge and compare all models."""
        from benchmarks.measure.energies import PAIR
        from benchmarks.measure.evaluation import judge_models, selected_setting
        from benchmarks.measure.scores import write_selected_values, write_values
        from benchmarks.measure.verdicts import judge_contrasts
        from benchmarks.progress import tracked
        from benchmarks.reporting.results import Result, describe_environment
        from benchmarks.tasks.thinking.conditions import IN_DISTRIBUTION, ThinkingCondition
        from benchmarks.tasks.thinking.evaluation import SELECTING, ThinkingJudge, compare_all
        from benchmarks.tasks.thinking.looping import with_more_loops
        from benchmarks.tasks.thinking.pictures import write_thinking
        from benchmarks.tasks.thinking.rows import with_dynamic_rows, with_gains
        from benchmarks.training.fit import TrainedModel, train_models, training_logs
        from worldmodel.predictor import Setting

        evaluation = self.evaluation(config)
        judge = ThinkingJudge(evaluation, data, device)

        def select(model: TrainedModel) -> Setting:
            return selected_setting(model.predictors, judge, evaluation.counts, SELECTING)

        found = train_models(self.specs, config, data, out, device, select)
        trained = [with_more_loops(model) for model in found]
        unit = judge.unit_flops(self.plain(config, data))
        judged = judge_models(trained, judge, evaluation, unit, device, lambda _: [])
        farthest = [rungs[-1].samples for rungs in data.ladders.values()][:1]
        places = {name: ThinkingCondition(name) for name in [IN_DISTRIBUTION, *farthest]}
        pairs = list(zip(judged.models, trained, strict=True))
        shown = tracked(pairs, "thinking")
        models = [
            with_dynamic_rows(with_gains(model, judged.scores[model.name]), found, trained, judge)
            for model, found in shown
        ]
        return Result(
            task=self.name,
            config=dataclasses.asdict(config),
            seeds=config.seeds,
            environment=describe_environment(device),
            data=data.describe(),
            models=models,
            comparisons=compare_all(judged.scores, judge),
            verdicts=[
                verdict
                for condition in places.values()
                for verdict in judge_contrasts(self.contrasts, judged.scores, condition)
            ],
            files={
                "thinking": write_thinking(out, trained, judge),
                "energies": write_selected_values(
                    out, "energies", judged.scores, places.items(), PAIR
                ),
                "values": write_values(
                    out, judged.scores, [(c.samples, c) for c in judge.conditions]
                ),
                "logs": training_logs(trained, config.seeds),
            },
        )

    def headline(self, result: "Result", part: str | None = None) -> "Table":
        """How well each energy knows the error, in distribution or on the set that `part` names."""
        from benchmarks.tasks.thinking.report import headline

        return headline(result, part)

    def report(self, folder: Path, result: "Result") -> "Report":
        """Tables, figures and sentences."""
        from benchmarks.tasks.thinking.report import make_report

        return make_report(folder, result)


class NextFrameThinking(ThinkingTask[NextFrameThinkingConfig]):
    """Think longer, choose, and know the error, where the future is open."""

    name = "thinking"
    contrasts = VIDEO
    config = NextFrameThinkingConfig
    declared = (*NEXT_FRAME, *ABLATION)
    takes = "predictor"

    def prepare(self, config: NextFrameThinkingConfig, inputs: Inputs) -> "ThinkingData":
        """Make or reuse the shards of videos, and of balls that differ from those of training."""
        from benchmarks.tasks.thinking.next_frame import prepare_clips

        return prepare_clips(config, inputs)

    def plain(self, config: NextFrameThinkingConfig, data: "ThinkingData") -> "Predictor":
        """Transformer++."""
        from baselines.config import TransformerPPConfig
        from baselines.transformer_pp import TransformerPP

        section = config.section("transformer_pp", TransformerPPConfig)
        return TransformerPP(section, config.backbone, data.encoder.grid, data.encoder.dim)

    def evaluation(self, config: NextFrameThinkingConfig) -> ThinkingEvaluationConfig:
        """How the part is judged."""
        return config.evaluation


class DenoiseThinking(ThinkingTask[DenoiseThinkingConfig]):
    """Think longer, choose, and know the error, under noise of every strength and kind."""

    name = "thinking/denoise"
    contrasts = IMAGES
    config = DenoiseThinkingConfig
    declared = (*DENOISE, *PUBLISHED_DENOISE)
    takes = "denoiser"

    def prepare(self, config: DenoiseThinkingConfig, inputs: Inputs) -> "ThinkingData":
        """Make or reuse the shards of images; the test images get every corruption."""
        from benchmarks.tasks.thinking.denoise import prepare_images

        return prepare_images(config, inputs)

    def plain(self, config: DenoiseThinkingConfig, data: "ThinkingData") -> "Predictor":
        """The direct regressor."""
        from baselines.config import DirectConfig
        from baselines.direct import DirectDenoiser

        section = config.section("direct", DirectConfig)
        return DirectDenoiser(section, config.backbone, data.encoder.grid, data.encoder.dim)

    def evaluation(self, config: DenoiseThinkingConfig) -> ThinkingEvaluationConfig:
        """How the part is judged."""
        return config.evaluation
