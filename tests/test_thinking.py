"""The thinking task: stopping, choice, the known future, and a small run from end to end."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from browsing import require_readable
from playwright.sync_api import Browser
from torch import Tensor

from baselines.config import TransformerPPConfig
from baselines.transformer_pp import TransformerPP
from benchmarks.cli.command_line import main
from benchmarks.cli.options import parse, to_config
from benchmarks.config import Inputs
from benchmarks.domains.samples import Case
from benchmarks.domains.trials import TRUE
from benchmarks.domains.video.shifts import ClipSet, VideoSamples
from benchmarks.record.results import Model, Result, Row, read_result
from benchmarks.reporting.html import PAGE
from benchmarks.tasks.registry import load_task
from benchmarks.tasks.thinking.candidates import Contenders
from benchmarks.tasks.thinking.evaluation import ThinkingJudge
from benchmarks.tasks.thinking.looping import LoopedLonger
from benchmarks.tasks.thinking.report import headline
from benchmarks.tasks.thinking.result import Found, OnSet
from benchmarks.tasks.thinking.stopping import Trace, choose_threshold, judge_stopping
from benchmarks.tasks.thinking.verification import judge_foreign
from data_prep.synthetic.balls import from_json
from worldmodel.config import BackboneConfig, EBTConfig
from worldmodel.next_frame import NextFrameEBT
from worldmodel.predictor import Clips

PREDICTIONS = tuple(f"prediction of {name}" for name in ("ebt_residual", "transformer_pp", "flow"))
VERIFYING = ("verification", "sampled_choice")
SMALL = [
    *(
        "--task",
        "thinking",
        "--preset",
        "smoke",
        "--models",
        "ebt_residual,transformer_pp,flow,copy_last",
    ),
    *("--balls.train", "3", "--balls.validation", "2", "--balls.test", "4", "--seeds", "0,1"),
    *("--training.steps", "3", "--training.processes", "1"),
    *("--evaluation.counts", "[1,2,3]", "--evaluation.candidates", "[1,3]"),
    *("--evaluation.thresholds", "4", "--shifts.gravities", "[]", "--flow.samples", "2"),
]


def improving(steps: int = 6, predictions: int = 40) -> Trace:
    """Predictions that each improve until a step of their own, and move no more from there on."""
    rng = np.random.default_rng(0)
    last = torch.from_numpy(rng.integers(1, steps, predictions))
    step = torch.arange(1, steps + 1)[:, None]
    psnr = 20 + torch.minimum(step, last).float()
    update = torch.where(step <= last, 1.0, 1e-3)
    return Trace(psnr, {"update": update}, [f"video-{i % 8}" for i in range(predictions)])


def test_a_threshold_of_zero_never_stops() -> None:
    trace = improving()
    assert (trace.stopped("update", 0.0) == 6).all()
    found = judge_stopping([trace], "update", 0.0)
    assert found.steps.mean == 6
    assert found.psnr.mean == pytest.approx(float(trace.psnr[-1].mean()), abs=0.2)
    assert found.gain.mean == pytest.approx(0, abs=1e-9)


def test_each_prediction_stops_after_the_first_step_below_the_threshold() -> None:
    trace = improving()
    steps = trace.stopped("update", 0.5)
    assert (trace.signals["update"].gather(0, (steps - 1)[None]) <= 0.5).all()
    assert (trace.signals["update"].gather(0, (steps - 2)[None]) > 0.5).all()
    assert torch.equal(trace.quality(steps), trace.psnr[-1])


def test_stopping_early_gains_where_predictions_need_different_numbers_of_steps() -> None:
    trace = improving()
    threshold = choose_threshold([trace], "update", 10)
    found = judge_stopping([trace], "update", threshold)
    assert 1 < found.steps.mean < 6
    assert found.gain.mean > 0.1
    assert found.saved is not None
    assert found.saved > 0


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("thinking")
    out, cache = folder / "run", folder / "cache"
    assert main([*SMALL, "--out", str(out), "--cache-dir", str(cache)]) == 0
    return out, cache


def rows_of(result: Result, clips: str) -> list[Row]:
    model: Model = result.models[0]
    return [row for row in model.rows if row.condition["samples"] == clips]


def found_on(result: Result, clips: str, model: str | None = None) -> OnSet:
    return result.found(Found).of(model or result.models[0].name, clips)


def test_a_run_says_what_thinking_buys(run: tuple[Path, Path]) -> None:
    result, text = read_result(run[0]), (run[0] / "report.md").read_text()
    assert set(result.data["sets"]) == {"validation", "in distribution", "speed x2"}
    assert list(result.data["shifts"].values()) == [[["in distribution", 1.0], ["speed x2", 2.0]]]
    assert "Does it gain from thinking longer than one step?" in text
    first, second = text.splitlines()[2:4]
    assert first.startswith("- EBT, residual: the AUROC of its energy is ")
    assert "that of the plain baseline's distance to its own prediction (difference" in first
    assert "Transformer++" in second
    assert "EBT, residual that stops by its update" in text
    row = next(r for r in rows_of(result, "in distribution") if r.selected)
    assert {"energy_over_error", "expected_error", "true_spread", "spread_rank"} <= set(row.metrics)
    assert row.metrics["true_spread"].mean > 0
    assert {"error_rank_frames", "error_rank_patches"} <= set(row.metrics)
    drawn = ("steps", "choice", "distance", "landscape", "map", "strip", "patches", "risk")
    assert all((run[0] / "figures" / f"{name}.png").is_file() for name in drawn)


def test_stopping_costs_what_its_mean_steps_cost(run: tuple[Path, Path]) -> None:
    result = read_result(run[0])
    fixed = {r.setting.label: r for r in rows_of(result, "speed x2")}
    low, high = (fixed[label].cost.forward_equivalents for label in ("1 step", "3 steps"))
    stopping = found_on(result, "speed x2").stopping
    assert {one.rule for one in stopping} == {"update", "energy"}
    for one in stopping:
        assert one.cost is not None
        cost = one.cost.forward_equivalents
        assert cost == pytest.approx(low + (high - low) * (one.steps.mean - 1) / 2)
        assert 1 <= one.steps.mean <= 3


def test_the_best_of_one_is_the_single_run_and_nothing_beats_the_oracle(
    run: tuple[Path, Path],
) -> None:
    result = read_result(run[0])
    for clips in ("in distribution", "speed x2"):
        choices = found_on(result, clips).choices
        error = {(one.source, one.rule, one.candidates): one.error.mean for one in choices}
        single = next(r for r in rows_of(result, clips) if r.setting.label == "2 steps")
        for rule in ("energy", "random", "mean", "bayes", "oracle"):
            for source in ("starts", "Langevin noise"):
                if source == "starts":
                    alone = single.metrics["error"].mean
                    assert error[source, rule, 1] == pytest.approx(alone, rel=1e-5)
                assert error[source, "oracle", 3] <= error[source, rule, 3] or rule == "mean"
            assert error["models", "oracle", 3] <= error["models", rule, 3] or rule == "mean"
        assert error["starts", "oracle", 3] <= error["starts", "oracle", 1]


def test_what_else_may_know_the_error_stands_beside_the_energy(run: tuple[Path, Path]) -> None:
    result = read_result(run[0])
    found = {one.kind: one.metrics for one in found_on(result, "in distribution").doubts}
    spreads = {"spread by starts", "spread by Langevin noise"}
    assert set(found) == {"energy", "last update", "ensemble of 2", *spreads}
    for metrics in found.values():
        assert {"energy_over_error", "error_rank", "sparsification_error"} <= set(metrics)
    selected = next(r for r in rows_of(result, "in distribution") if r.trained)
    over = selected.metrics["energy_over_error"].mean
    assert found["energy"]["energy_over_error"].mean == pytest.approx(over, rel=1e-4)
    network = found_on(result, "in distribution", "transformer_pp")
    assert [one.kind for one in network.doubts] == ["ensemble of 2"]
    assert not network.stopping
    sampler = found_on(result, "in distribution", "flow")
    assert [one.kind for one in sampler.doubts] == ["spread of 8 samples", "ensemble of 2"]


def test_every_measure_chooses_among_samples_and_is_attacked(run: tuple[Path, Path]) -> None:
    result, text = read_result(run[0]), (run[0] / "report.md").read_text()
    found = result.found(Found)
    chosen = {(one.verifier, one.measure): one for one in found.sampled if one.verifier}
    assert {("ebt_residual", "energy"), ("flow", "denoising loss")} < set(chosen)
    own = dict.fromkeys(("ebt_residual", "transformer_pp"), "distance to own prediction")
    assert own.items() < set(chosen)
    plain = {(one.samples, one.passes): one for one in found.sampled if one.rule == "any one"}
    assert plain[1, 10].equivalents < plain[8, 10].equivalents
    # On one context, ten passes of eight samples are eighty passes; samples share their times.
    assert plain[8, 10].equivalents == pytest.approx(plain[1, 80].equivalents, rel=0.05)
    oracle = next(one for one in found.sampled if one.rule == "oracle")
    for one in chosen.values():
        assert one.equivalents > plain[8, 10].equivalents == oracle.equivalents
        assert 0 <= one.metrics["at_future"].mean <= oracle.metrics["at_future"].mean <= 1
    attacked = {(one.model, one.measure, one.bound) for one in found.attacks}
    assert len(attacked) == len(found.attacks)
    assert {(*pair, bound) for pair in chosen for bound in (2 / 255, 8 / 255)} <= attacked
    facets = text[text.index("| model | gain of more") :]
    assert "steps" in next(
        line for line in facets.splitlines() if line.startswith("| EBT, residual")
    )
    assert all((run[0] / "figures" / f"{name}.png").is_file() for name in VERIFYING)


def test_documents_show_facets_verification_and_choices(run: tuple[Path, Path]) -> None:
    result = read_result(run[0])
    titles = {"EBT, residual", "Transformer++", "Flow"}
    header, rows = headline(result, "facets")
    assert header[0] == "model"
    assert {row[0] for row in rows} == titles
    header, rows = headline(result, "verification")
    assert header[:2] == ["model", "surprise"]
    assert {row[0] for row in rows} >= titles
    header, rows = headline(result, "samples")
    assert header[0] == "chosen by"
    assert {"any one", "oracle"} <= {row[0] for row in rows}


def test_foreign_candidates_are_verified(run: tuple[Path, Path]) -> None:
    foreign = found_on(read_result(run[0]), "in distribution").foreign
    rows = {one.kind: one.metrics for one in foreign}
    assert rows["truth"]["error"].mean == 0
    assert rows["truth of another sample"]["error"].mean > rows["blurred truth"]["error"].mean > 0
    first, others = rows.pop("truth")["truth_first"].mean, ("copy of the last frame", *PREDICTIONS)
    assert {*others, "frame after the next"} < set(rows)
    preferred = [metrics["truth_preferred"].mean for metrics in rows.values()]
    # The truth is first where it is preferred to every other candidate.
    assert 1 - sum(1 - share for share in preferred) - 1e-6 <= first <= min(preferred) + 1e-6


class KnowingEBT(NextFrameEBT):
    """An energy that is the true error, times a sign."""

    def __init__(self, data: VideoSamples, cases: Sequence[Case], sign: int):
        super().__init__(EBTConfig(), BackboneConfig(1, 1, 64), data.encoder.grid, data.encoder.dim)
        self.sign = sign
        self.targets = {
            key: target
            for case in cases
            for key, target in zip(case.context.keys, case.target, strict=True)
        }

    def verify(self, context: Clips, candidates: Tensor) -> Tensor:
        target = torch.stack([self.targets[key] for key in context.keys])
        return self.sign * (candidates - target[:, :, None]).square().sum(-1) / 2


@pytest.mark.parametrize(("sign", "share"), [(1, 1), (-1, 0)])
def test_an_energy_that_knows_the_error_tells_the_truth_from_all_else(
    sign: int, share: int, run: tuple[Path, Path]
) -> None:
    data, name = data_of(run), "in distribution"
    judge = ThinkingJudge(to_config(parse(SMALL)).evaluation, data, "cpu")
    model = KnowingEBT(data, list(judge.cases(name)), sign)
    contenders = Contenders(["untrained"], [model])
    found = {v.kind: v.metrics for v in judge_foreign(judge, [model], [contenders], name)}
    assert found.pop("truth")["truth_first"].mean == share
    assert len(found) > 3
    for metrics in found.values():
        assert metrics["truth_preferred"].mean == share
        assert metrics["auroc"].mean == pytest.approx(share)
        assert metrics["energy_over_error"].mean == pytest.approx(sign)
        assert metrics["error_rank"].mean == pytest.approx(sign)


def data_of(run: tuple[Path, Path]) -> VideoSamples:
    config = to_config(parse(SMALL))
    data = load_task("thinking").prepare(config, Inputs(None, {}, run[1]))
    assert isinstance(data, VideoSamples)
    return data


def test_the_known_future_has_the_moments_of_many_continuations(run: tuple[Path, Path]) -> None:
    judged = data_of(run).sets["in distribution"]
    assert isinstance(judged, ClipSet)
    future = judged.future
    assert future is not None
    clip, frame, rng = 0, 2, np.random.default_rng(0)
    metadata = judged.data.embeddings.read_metadata(judged.clips.samples[clip])
    motion, balls = from_json(metadata["truth"], metadata["times"][frame])
    drawn = [motion.states(balls, motion.frames_between_turns + 1, rng)[-1] for _ in range(2000)]
    embedded = judged.data.embedded(motion.draw(drawn))  # [2000, P, D]
    spread = embedded.var(0, correction=0).sum(-1) / 2
    assert torch.allclose(future.spread[clip, frame].sum(), spread.sum(), rtol=0.1, atol=1e-3)
    error = (embedded.mean(0) - future.mean[clip, frame]).square().sum() / 2
    assert float(error) <= 10 * float(spread.sum()) / 2000 + 1e-6
    candidate = torch.randn_like(future.mean)
    expected = future.expected_error(candidate)[clip, frame].sum()
    sampled = ((candidate[clip, frame] - embedded).square().sum((1, 2)) / 2).mean()
    assert float(expected) == pytest.approx(float(sampled), rel=0.05)


def test_a_speed_is_above_that_of_training(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--task", "thinking", "--shifts.speeds", "[0.5]"]) == 2
    assert "shifts.speeds must be different numbers above 1" in capsys.readouterr().err


def test_an_unknown_domain_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--task", "thinking", "--domain", "images"]) == 2
    assert "--domain images: thinking is of video or image" in capsys.readouterr().err
    assert main(["--task", "denoise", "--domain", "video"]) == 2
    assert "--domain video: denoise is of image" in capsys.readouterr().err
    assert main(["--task", "thinking", "--part", "denoise"]) == 2
    assert "--part denoise: is now --domain image" in capsys.readouterr().err


@pytest.mark.slow
def test_several_things_change_away_from_training(tmp_path: Path) -> None:
    arguments = [*SMALL, "--models", "ebt_residual,copy_last", "--seeds", "0"]
    arguments[arguments.index("--shifts.gravities") + 1] = "[1]"
    assert main([*arguments, "--out", str(tmp_path / "run"), "--cache-dir", str(tmp_path)]) == 0
    result, text = read_result(tmp_path / "run"), (tmp_path / "run/report.md").read_text()
    speeds, gravities = result.data["shifts"].values()
    assert speeds == [["in distribution", 1.0], ["speed x2", 2.0]]
    assert gravities == [["in distribution", 0.0], ["gravity 1", 1.0]]
    assert "| model | gravity (widths/s²) |" in text
    assert (tmp_path / "run/figures/distance.png").is_file()


@pytest.mark.slow
def test_thinking_about_images(tmp_path: Path) -> None:
    arguments = [
        *("--task", "thinking", "--domain", "image", "--preset", "smoke"),
        *(
            "--models",
            "ebt_residual,direct,identity",
            "--training.steps",
            "3",
            "--dead_leaves.train",
            "4",
        ),
        *("--evaluation.counts", "[1,2]", "--training.processes", "1"),
        *("--out", str(tmp_path / "run"), "--cache-dir", str(tmp_path / "cache")),
    ]
    assert main(arguments) == 0
    result = read_result(tmp_path / "run")
    kinds = {of.kind for one in result.found(Found).surprise for of in one.by_kind}
    assert kinds == {"over-smoothed", "truth of another sample"}
    assert {one.measure for one in result.found(Found).surprise} == {
        "energy",
        "distance to own prediction",
    }
    sets = {"validation", "in distribution", "level 0.2", "poisson 5", "photographs"}
    assert set(result.data["sets"]) == sets
    sources = {one.source for one in found_on(result, "level 0.2").choices}
    assert sources == {
        "path and blurs",
        "Langevin noise",
        "models",
    }  # all starts are the noisy image
    direct = next(model for model in result.models if model.name == "direct")
    gains = [r.metrics["gain_of_more"] for r in direct.rows if "gain_of_more" in r.metrics]
    assert len(gains) == len(sets)  # the regressor, applied to its own output
    assert main(["--report", str(tmp_path / "run")]) == 0


def test_a_looped_model_at_its_trained_depth_is_what_was_trained() -> None:
    backbone = BackboneConfig(layers=2, heads=2, width=16, depth=6)
    looped = TransformerPP(TransformerPPConfig(), backbone, (2, 2), 5)
    batch = Clips(torch.randn(3, 4, 4, 5), ["a", "b", "c"])
    expected = looped.predict(batch, looped.trained_setting()).prediction
    longer = LoopedLonger(looped)
    found = longer.predict_all(batch, longer.settings([]))
    assert [setting.count for setting in longer.settings([])] == [3, 6, 12, 24]
    assert torch.equal(found[1].prediction, expected)
    deep = TransformerPP(TransformerPPConfig(), replace(backbone, depth=24), (2, 2), 5)
    deep.load_state_dict(looped.state_dict())
    again = deep.predict(batch, deep.trained_setting()).prediction
    assert torch.equal(found[3].prediction, again)
    assert torch.equal(looped.predict(batch, looped.trained_setting()).prediction, expected)


@pytest.mark.slow
def test_the_page_reads_well_in_a_browser(browser: Browser, run: tuple[Path, Path]) -> None:
    require_readable(browser, run[0] / PAGE)


def test_continuations_of_clips_are_embedded_as_the_clips_are(run: tuple[Path, Path]) -> None:
    judged = data_of(run).sets["in distribution"]
    assert isinstance(judged, ClipSet)
    last, done = [judged.clips[index][1][-1] for index in range(len(judged.clips))], 0
    for batch in data_of(run).trials("in distribution", 4, "cpu"):
        assert batch.context.embeddings.shape[1] == judged.clips[0][1].shape[0] - 1
        for candidates, kinds in zip(batch.candidates, batch.kinds, strict=True):
            assert kinds[0] == TRUE
            errors = (candidates - last[done]).square().mean((1, 2))
            impossible = [n for n, k in enumerate(kinds) if k and k.standing == "impossible"]
            assert len(impossible) > 3
            assert (errors[impossible] > errors[0]).all()  # the clip is the coded truth
            assert torch.equal(
                errors[[k is None for k in kinds]].unique(), errors[:1].unique()
            ) or (None not in kinds)
            done += 1
    assert done == len(last)
