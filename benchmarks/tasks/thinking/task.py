"""Thinking: what longer descent, choice by energy and the energy itself are worth."""

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.config import Inputs, RunConfig, side_by_side
from benchmarks.tasks.contract import ModelTask
from benchmarks.tasks.thinking.config import ThinkingConfig

if TYPE_CHECKING:
    from benchmarks.domains.samples import Samples
    from benchmarks.record.results import Result
    from benchmarks.reporting.report import Report
    from benchmarks.reporting.tables import Table


class Thinking(ModelTask["Samples"]):
    """Think longer, choose, and know the error, as in training and away from it."""

    config = ThinkingConfig
    folder = "thinking"

    def sections(self) -> dict[str, type]:
        """The shifts are of the domain's own class."""
        return super().sections() | {"shifts": self.domain.shifts}

    def prepare(self, config: RunConfig, inputs: Inputs) -> "Samples":
        """Make or reuse the data of the domain, with sets that differ from training."""
        return self.domain.samples(config, config.task.shifts, inputs)

    def run(
        self, config: RunConfig, data: "Samples", inputs: Inputs, out: Path, device: str
    ) -> "Result":
        """Train, judge and compare all models."""
        from benchmarks.domains.judging import judge_models, selected_setting
        from benchmarks.domains.samples import IN_DISTRIBUTION
        from benchmarks.measure.energies import PAIR
        from benchmarks.measure.scores import describe_places, write_selected_values, write_values
        from benchmarks.measure.verdicts import judge_contrasts
        from benchmarks.progress import tracked
        from benchmarks.record.results import Result, describe_environment
        from benchmarks.tasks.thinking.attack import judge_attacks
        from benchmarks.tasks.thinking.conditions import ThinkingCondition
        from benchmarks.tasks.thinking.evaluation import SELECTING, ThinkingJudge, compare_all
        from benchmarks.tasks.thinking.looping import with_more_loops
        from benchmarks.tasks.thinking.pictures import write_thinking
        from benchmarks.tasks.thinking.result import Found
        from benchmarks.tasks.thinking.rows import judge_dynamics, with_gains
        from benchmarks.tasks.thinking.sampled_choice import judge_sampled_choices
        from benchmarks.tasks.thinking.surprise import judge_surprises
        from benchmarks.training.fit import TrainedModel, train_models, training_logs
        from worldmodel.predictor import Setting

        evaluation = config.task.evaluation
        judge = ThinkingJudge(evaluation, data, device)

        def select(model: TrainedModel) -> Setting:
            return selected_setting(model.predictors, judge, evaluation.counts, SELECTING)

        found = train_models(self.specs, config, data, out, device, select)
        trained = [with_more_loops(model) for model in found]
        unit = judge.unit_flops(self.domain.plain_model(config, data))
        judged = judge_models(trained, judge, evaluation, unit, device, lambda _: [])
        farthest = [degrees[-1].samples for degrees in data.shifts.values()][:1]
        places = {name: ThinkingCondition(name) for name in [IN_DISTRIBUTION, *farthest]}
        judged_places = [(c.samples, c) for c in judge.conditions]
        pairs = list(zip(judged.models, trained, strict=True))
        shown = tracked(pairs, "thinking")
        sets = [one for pair in shown for one in judge_dynamics(*pair, trained, judge)]
        return Result(
            task="thinking",
            config=side_by_side(config),
            seeds=config.seeds,
            environment=describe_environment(device),
            data=data.describe() | {"places": describe_places(judged_places, judge.identity)},
            models=[with_gains(model, judged.scores[model.name]) for model in judged.models],
            comparisons=compare_all(judged.scores, judge),
            verdicts=[
                verdict
                for condition in places.values()
                for verdict in judge_contrasts(self.domain.contrasts, judged.scores, condition)
            ],
            files={
                "thinking": write_thinking(out, trained, judge),
                "energies": write_selected_values(
                    out, "energies", judged.scores, places.items(), PAIR
                ),
                "values": write_values(out, judged.scores, judged_places),
                "logs": training_logs(trained, config.seeds),
            },
            details=Found(
                sets,
                judge_surprises(trained, data, evaluation, unit, device, self.domain.plain),
                judge_attacks(trained, data, evaluation, device),
                judge_sampled_choices(trained, data, evaluation, unit, device),
            ),
            domain=self.domain.name,
        )

    def headline(self, result: "Result", part: str | None = None) -> "Table":
        """How well each energy knows the error, in distribution or on the set that `part` names."""
        from benchmarks.tasks.thinking.report import headline

        return headline(result, part)

    def report(self, folder: Path, result: "Result") -> "Report":
        """Tables, figures and sentences."""
        from benchmarks.tasks.thinking.report import make_report

        return make_report(folder, result)
