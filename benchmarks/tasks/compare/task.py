"""Comparison: train every model of a domain, judge them alike, say what holds."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.config import Inputs, RunConfig, side_by_side
from benchmarks.domains.contract import DomainData
from benchmarks.tasks.compare.config import CompareConfig
from benchmarks.tasks.contract import ModelTask

if TYPE_CHECKING:
    from benchmarks.record.results import Result
    from benchmarks.reporting.report import Report
    from benchmarks.reporting.tables import Table


class Compare(ModelTask[DomainData]):
    """Which model predicts best, and what it costs."""

    config = CompareConfig
    folder = "compare"

    def sections(self) -> dict[str, type]:
        """The evaluation is of the domain's own class."""
        return super().sections() | {"evaluation": self.domain.evaluation}

    def prepare(self, config: RunConfig, inputs: Inputs) -> DomainData:
        """Make or reuse the data of the domain."""
        return self.domain.prepare(config, inputs)

    def run(
        self, config: RunConfig, data: DomainData, inputs: Inputs, out: Path, device: str
    ) -> "Result":
        """Train, judge and compare all models."""
        from benchmarks.domains.judging import judge_models, judge_references, selected_setting
        from benchmarks.measure.energies import PAIR
        from benchmarks.measure.scores import describe_places, write_selected_values, write_values
        from benchmarks.measure.verdicts import judge_contrasts
        from benchmarks.record.results import Result, describe_environment
        from benchmarks.training.fit import TrainedModel, train_models, training_logs
        from benchmarks.training.plan import skipped_models
        from worldmodel.predictor import Setting

        evaluation = config.evaluation
        judge = self.domain.judge(evaluation, config.task.perception, data, device)
        skipped = [*skipped_models(self.specs, config), *judge.skipped]
        for line in skipped:
            print(f"skipped {line}", file=sys.stderr)

        def select(model: TrainedModel) -> Setting:
            return selected_setting(model.predictors, judge, evaluation.counts, judge.selects)

        trained = train_models(self.specs, config, data, out, device, select)
        unit = judge.unit_flops(self.domain.plain_model(config, data))
        judged = judge_models(trained, judge, evaluation, unit, device, judge.traits)
        references = judge_references(judge)
        shown = {m.name: (m.predictors[0], judged.scores[m.name]) for m in trained}
        described = {
            "skipped": skipped,
            "main_place": judge.main,
            "places": describe_places(judge.tested.items(), judge.identity),
        }
        return Result(
            task=self.domain.compares,
            config=side_by_side(config),
            seeds=config.seeds,
            environment=describe_environment(device),
            data=data.describe() | judge.describe() | described,
            models=judged.models,
            references=references.models,
            comparisons=judge.comparisons(judged.scores),
            verdicts=[
                verdict
                for condition in judge.contrasted
                for verdict in judge_contrasts(self.domain.contrasts, judged.scores, condition)
            ],
            files={
                "pictures": judge.write_pictures(out, shown),
                "energies": write_selected_values(
                    out, "energies", judged.scores, judge.with_energies.items(), PAIR
                ),
                "values": write_values(
                    out, judged.scores | references.scores, judge.places.items()
                ),
                "logs": training_logs(trained, config.seeds),
            },
            domain=self.domain.name,
        )

    def headline(self, result: "Result", part: str | None = None) -> "Table":
        """Quality and cost of every model."""
        return self.domain.headline(result, part)

    def report(self, folder: Path, result: "Result") -> "Report":
        """Tables, figures and sentences."""
        return self.domain.report(folder, result)
