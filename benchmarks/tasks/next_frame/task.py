"""Next-frame prediction: train every model, judge them alike, say what holds."""

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.config import Inputs
from benchmarks.contrasts import VIDEO
from benchmarks.tasks.contract import Task
from benchmarks.tasks.next_frame.config import NextFrameConfig
from benchmarks.tasks.next_frame.models import MODELS, PUBLISHED

if TYPE_CHECKING:
    from benchmarks.reporting.page import Report
    from benchmarks.reporting.results import Result
    from benchmarks.reporting.tables import Table
    from benchmarks.tasks.next_frame.data import NextFrameData
    from benchmarks.training.plan import PlannedModel


class NextFrame(Task[NextFrameConfig, "NextFrameData"]):
    """Predict the next frame of a video, and roll out."""

    config = NextFrameConfig
    declared = (*MODELS, *PUBLISHED)
    takes = "predictor"

    def prepare(self, config: NextFrameConfig, inputs: Inputs) -> "NextFrameData":
        """Make or reuse the shards of a folder of videos, a shard set, or the built-in corpus."""
        from benchmarks.tasks.next_frame.data import prepare_data

        return prepare_data(config, inputs)

    def models(self, config: NextFrameConfig, data: "NextFrameData") -> "list[PlannedModel]":
        """The models that the configuration names."""
        from benchmarks.training.plan import plan_models

        return plan_models(self.specs, config, data)

    def run(
        self, config: NextFrameConfig, data: "NextFrameData", out: Path, device: str
    ) -> "Result":
        """Train, judge and compare all models."""
        from baselines.config import TransformerPPConfig
        from baselines.transformer_pp import TransformerPP
        from baselines.trivial import CopyLast
        from benchmarks.measure.energies import PAIR
        from benchmarks.measure.evaluation import judge_models, selected_setting
        from benchmarks.measure.perception import Perception
        from benchmarks.measure.scores import describe_places, write_selected_values, write_values
        from benchmarks.measure.verdicts import judge_contrasts
        from benchmarks.reporting.results import Result, describe_environment
        from benchmarks.tasks.next_frame.conditions import JUDGED, PLACES, SELECTING
        from benchmarks.tasks.next_frame.evaluation import (
            FrameJudge,
            compare_first,
            encoder_ceiling,
        )
        from benchmarks.training.fit import TrainedModel, train_models, training_logs
        from worldmodel.predictor import Setting

        frames = config.evaluation.context_frames + config.evaluation.horizon
        perception = None
        if data.encoder.decodable:
            perception = Perception(config.perception, device, frames)
            for line in perception.skipped:
                print(f"skipped {line}", file=sys.stderr)
        judge = FrameJudge(config.evaluation, data, CopyLast(), device, perception)

        def select(model: TrainedModel) -> Setting:
            counts = config.evaluation.counts
            return selected_setting(model.predictors, judge, counts, judge.conditions[0])

        trained = train_models(self.specs, config, data, out, device, select)
        plain = config.section("transformer_pp", TransformerPPConfig)
        unit = judge.unit_flops(
            TransformerPP(plain, config.backbone, data.encoder.grid, data.encoder.dim)
        )
        judged = judge_models(trained, judge, config.evaluation, unit, device, lambda _: [])
        rollout = JUDGED[1]
        shown = {}
        for model in trained:
            scores = judged.scores[model.name]
            setting = scores.settings[scores.selected(rollout)]
            shown[model.name] = (model.predictors[0], setting)
        places = list(zip(PLACES, JUDGED, strict=True))
        return Result(
            task="next_frame",
            config=dataclasses.asdict(config),
            seeds=config.seeds,
            environment=describe_environment(device),
            data=data.describe()
            | {
                "encoder_ceiling": encoder_ceiling(data),
                "perception": judge.describe_perception(),
                "places": describe_places(places, judge.identity),
            },
            models=judged.models,
            comparisons=compare_first(judged.scores),
            verdicts=[
                verdict
                for condition in JUDGED
                for verdict in judge_contrasts(VIDEO, judged.scores, condition)
            ],
            files={
                "pictures": judge.write_pictures(out, shown),
                "energies": write_selected_values(out, "energies", judged.scores, places[:1], PAIR),
                "values": write_values(out, judged.scores, [*places, ("validation", SELECTING)]),
                "logs": training_logs(trained, config.seeds),
            },
        )

    def headline(self, result: "Result", part: str | None = None) -> "Table":
        """Quality and cost of every model."""
        from benchmarks.tasks.next_frame.report import headline

        return headline(result)

    def report(self, folder: Path, result: "Result") -> "Report":
        """Tables, figures and sentences."""
        from benchmarks.tasks.next_frame.report import make_report

        return make_report(folder, result)
