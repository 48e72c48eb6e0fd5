"""Thinking: what longer descent, choice by energy and the energy itself are worth."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.config import Inputs
from benchmarks.tasks.contract import Task
from benchmarks.tasks.thinking.config import ThinkingConfig
from benchmarks.tasks.thinking.models import MODELS

if TYPE_CHECKING:
    from benchmarks.reporting.page import Report
    from benchmarks.reporting.results import Result
    from benchmarks.reporting.tables import Condition, Table
    from benchmarks.tasks.thinking.data import ThinkingData
    from benchmarks.training.plan import PlannedModel


class ThinkingTask(Task[ThinkingConfig, "ThinkingData"]):
    """Think longer, choose, and know the error, where the future is open."""

    config = ThinkingConfig
    declared = MODELS

    def prepare(self, config: ThinkingConfig, inputs: Inputs) -> "ThinkingData":
        """Make or reuse the shards of videos, and of balls that are faster than in training."""
        from benchmarks.tasks.thinking.data import prepare_thinking

        return prepare_thinking(config, inputs)

    def models(self, config: ThinkingConfig, data: "ThinkingData") -> "list[PlannedModel]":
        """The models that the configuration names."""
        from benchmarks.training.plan import plan_models

        return plan_models(MODELS, config, data)

    def run(self, config: ThinkingConfig, data: "ThinkingData", out: Path, device: str) -> "Result":
        """Train, judge and compare all models."""
        from baselines.config import TransformerPPConfig
        from baselines.transformer_pp import TransformerPP
        from benchmarks.measure.energies import write_energies
        from benchmarks.measure.evaluation import judge_models
        from benchmarks.reporting.results import Result, describe_environment
        from benchmarks.tasks.thinking.evaluation import SELECTING, ThinkingJudge, compare_all
        from benchmarks.tasks.thinking.rows import with_dynamic_rows
        from benchmarks.training.fit import TrainedModel, train_models, training_logs
        from worldmodel.predictor import Setting

        def select(model: TrainedModel) -> Setting:
            raise AssertionError(f"{model.name}: no model is sized by another here")

        judge = ThinkingJudge(config.evaluation, data, device)
        trained = train_models(MODELS, config, data, out, device, select)
        plain = config.section("transformer_pp", TransformerPPConfig)
        unit = judge.unit_flops(
            TransformerPP(plain, config.backbone, data.encoder.grid, data.encoder.dim)
        )
        judged = judge_models(trained, judge, config.evaluation, unit, device, lambda _: [])
        places = {c.clips: c for c in judge.conditions if c != SELECTING}
        return Result(
            task="thinking",
            config=dataclasses.asdict(config),
            seeds=config.seeds,
            environment=describe_environment(device),
            data=data.describe(),
            models=[
                with_dynamic_rows(model, found, judge)
                for model, found in zip(judged.models, trained, strict=True)
            ],
            comparisons=compare_all(judged.scores, judge),
            files={
                "energies": write_energies(out, judged.scores, places),
                "logs": training_logs(trained, config.seeds),
            },
        )

    def headline(self, result: "Result", part: str | None = None) -> "Table":
        """How well each energy knows the error, on every set."""
        from benchmarks.tasks.thinking.report import headline

        return headline(result)

    def documented(self, result: "Result") -> "list[Condition]":
        """Every set but validation."""
        from benchmarks.tasks.thinking.report import judged_sets, under

        return [under(name) for name in judged_sets(result)]

    def report(self, folder: Path, result: "Result") -> "Report":
        """Tables, figures and sentences."""
        from benchmarks.tasks.thinking.report import make_report

        return make_report(folder, result)
