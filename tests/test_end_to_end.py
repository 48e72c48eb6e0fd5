import csv
import dataclasses
import json
import shutil
import signal
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from browsing import require_readable
from PIL import Image
from playwright.sync_api import Browser
from safetensors.numpy import load_file, save_file

from benchmarks.cli.command_line import main
from benchmarks.cli.docs_tables import check, keep_result, kept_result
from benchmarks.domains.video.conditions import ROLLOUT, TEACHER_FORCED
from benchmarks.domains.video.contrasts import CONTRASTS
from benchmarks.domains.video.report import PROTOCOLS, make_report
from benchmarks.record.model_names import title_of
from benchmarks.record.results import Model, Row, read_result
from benchmarks.reporting.compute import compute_chart
from benchmarks.reporting.figures import thinking_figure
from benchmarks.reporting.html import PAGE
from benchmarks.reporting.tables import rows_under
from benchmarks.tasks.registry import load_task
from worldmodel.callbacks import StepReport
from worldmodel.published.model import PublishedEBT

TINY = ["--task", "next_frame", "--preset", "smoke", "--device", "cpu"]
TINY += ["--training.steps", "6", "--training.validate_every", "3", "--backbone.width", "64"]
TINY += ["--backbone.heads", "2", "--evaluation.latency_repeats", "1"]
TINY += ["--evaluation.counts", "[1,2]", "--evaluation.samples", "2", "--flow.samples", "2"]
MODELS = [
    "ebt_published",
    "ebt_residual",
    "transformer_pp",
    "transformer_pp_equal_training",
    "transformer_pp_equal_inference",
    "flow",
    "copy_last",
]


@pytest.fixture(scope="module")
def finished(balls: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny run over a user's folder of videos, one of them broken."""
    released = ["--ebt_published.inference_steps", "3", "--ebt_published.inference_samples", "2"]
    folder = tmp_path_factory.mktemp("run")
    corpus = shutil.copytree(balls, folder / "my clips")
    (corpus / "videos/train/00000.mp4").write_text("not a video")
    out, cache = folder / "out", folder / "cache"
    arguments = ["--data", str(corpus), "--out", str(out), "--cache-dir", str(cache)]
    arguments += ["--models", ",".join(MODELS), "--seeds", "0,1"]
    assert main([*TINY, *released, *arguments]) == 0
    return out


def test_a_run_writes_everything_it_promises(finished: Path) -> None:
    result = json.loads((finished / "results.json").read_text())
    assert result["task"] == "next_frame"
    assert result["seeds"] == [0, 1]
    assert result["data"]["rejected"][0]["source"] == "videos/train/00000.mp4"
    assert set(result["environment"]) >= {"commit", "packages", "threads", "processor"}
    models = {model["name"]: model for model in result["models"]}
    assert list(models) == MODELS
    assert models["copy_last"]["training"] is None
    assert models["ebt_residual"]["training"]["steps"] == 6
    assert models["transformer_pp_equal_training"]["training"]["flops"] == pytest.approx(
        models["ebt_residual"]["training"]["flops"], rel=0.1
    )
    for model in models.values():
        combinations = {(str(r["condition"]), r["setting"]["label"]) for r in model["rows"]}
        assert len(combinations) == len(model["rows"])
        for row in model["rows"]:
            sampled = row["condition"]["protocol"] == "sampled"
            whole = ("energy_score", "sharpness") if sampled else ("skill",)
            if not sampled and row["condition"]["split"] == "test":
                whole += ("ssim",)
            for name in ("psnr", "mse", "smooth_l1", *whole):
                metric = row["metrics"][name]
                assert metric["n"] == (2 if row["condition"]["split"] == "validation" else 3)
            assert row["metrics"]["psnr"]["higher_is_better"]
            assert set(row["cost"]) == {
                "forward_passes",
                "input_gradient_passes",
                "forward_equivalents",
                "flops",
                "latency_ms",
                "latency_repeats",
                "peak_memory_bytes",
            }
    forced = rows_of(models["ebt_residual"], "test", "teacher_forced")
    assert [row["setting"]["options"]["steps"] for row in forced] == [1, 2]
    assert len(forced[1]["series"]["energies"]) == 3
    rollouts = rows_of(models["ebt_residual"], "test", "rollout")
    assert all(row["selected"] or row["trained"] for row in rollouts)
    assert [row["trained"] for row in forced] == [False, True]
    for protocol in ("teacher_forced", "rollout"):
        judged = rows_of(models["ebt_published"], "test", protocol)
        (released,) = [row for row in judged if row["setting"]["fixed"]]
        assert released["setting"]["label"] == "published, 3 steps, best of 2"
        assert not released["selected"]
    (plain,) = rows_of(models["transformer_pp"], "test", "teacher_forced")
    assert plain["cost"]["forward_equivalents"] == 1
    selected = next(row for row in forced if row["selected"])
    (equal,) = rows_of(models["transformer_pp_equal_inference"], "test", "teacher_forced")
    assert equal["cost"]["flops"] == pytest.approx(selected["cost"]["flops"], rel=0.03)
    compared = {(c["a"], c["b"]) for c in result["comparisons"]}
    assert compared == {("ebt_published", other) for other in list(models)[1:]}
    for comparison in result["comparisons"]:
        means = [
            next(r for r in rows_of(models[name], **comparison["condition"]) if r["selected"])
            for name in (comparison["a"], comparison["b"])
        ]
        a, b = (row["metrics"]["psnr"]["mean"] for row in means)
        assert comparison["difference"] == pytest.approx(a - b, abs=1e-6)
        assert comparison["low"] < comparison["high"]
    for name in ("config.yaml", "report.md", "models/ebt_residual/seed1/weights.safetensors"):
        assert (finished / name).is_file()


def test_the_opening_answers_the_declared_questions(finished: Path) -> None:
    result = read_result(finished)
    opening = (finished / "report.md").read_text().split("## ")[0]
    header, _, *lines = (line for line in opening.splitlines() if line.startswith("|"))
    assert [cell.strip() for cell in header.split("|")[2:-1]] == [t for t, _ in PROTOCOLS]
    names = {model.name for model in result.models}
    declared = [c for c in CONTRASTS if {c.a, c.b} <= names]
    for column, (_, condition) in enumerate(PROTOCOLS, start=2):
        found = [v for v in result.verdicts if v.compared.condition == condition]
        # A rollout is run at the selected number of steps, and at that of training.
        asked = {c.question for c in declared if not (c.longer and condition == ROLLOUT)}
        assert asked <= {v.question for v in found} <= {c.question for c in declared}
        for verdict in found:
            one = verdict.compared
            (line,) = (li for li in lines if verdict.question in li and title_of(one.b) in li)
            shown = f"{one.difference:+.2f} [{one.low:+.2f}, {one.high:+.2f}] dB"
            assert line.split("|")[column].strip().endswith(shown)
            assert line.split("|")[column].strip().startswith(verdict.answer)
    for word in ("beats", "loses", "surely"):  # verdict words of nothing declared
        assert word not in opening
    assert "Seeds: 2; intervals are over training seeds and videos." in opening


def test_with_one_seed_nothing_is_said_of_methods(finished: Path, tmp_path: Path) -> None:
    result = read_result(finished)
    kept = dataclasses.replace(result, seeds=[0], files={})  # of a run that kept no files
    (said,) = (part for part in make_report(tmp_path, kept).opening if isinstance(part, str))
    assert "speak of these trained models, not of the methods" in said


def test_what_documents_keep_of_a_result_gives_the_same_table_and_means(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.cli.docs_tables.KEPT", tmp_path)
    monkeypatch.setattr("benchmarks.cli.docs_tables.DOCUMENTS", ())
    file = finished / "results.json"
    written = file.read_text()
    content = json.loads(written)
    content["environment"]["command"] += " --data /home/me/videos/ucf101 --test a=/data/kodak24"
    content["config"]["encoder"]["name"] = "tae:~/weights/taef2"
    file.write_text(json.dumps(content))
    keep_result(finished, "mine")
    file.write_text(written)
    said = (tmp_path / "mine.json").read_text()
    assert "--data path/to/videos/ucf101 --test a=path/to/data/kodak24" in said
    assert "tae:path/to/weights/taef2" in said
    result, kept = read_result(finished), kept_result("mine")
    compare = load_task("next_frame")
    assert compare.headline(kept) == compare.headline(result)
    assert [len(m.rows) for m in kept.models] == [len(m.rows) for m in result.models]
    values = load_file(tmp_path / "mine.safetensors")
    assert values["next frame/ebt_residual/1 step/psnr"].shape[0] == len(result.seeds)
    assert any(name.startswith("validation/") for name in values)
    assert list(check()) == []
    content = json.loads((tmp_path / "mine.json").read_text())
    row = next(row for row in content["models"][0]["rows"] if row["condition"]["split"] == "test")
    row["metrics"]["psnr"]["high"] += 0.1
    (tmp_path / "mine.json").write_text(json.dumps(content))
    (fault,) = check()
    assert "psnr: high is" in fault
    assert result.environment["command"].startswith("python benchmarks/run.py --task next_frame")
    assert "--out" not in result.environment["command"]


def test_charts_and_figures_show_the_numbers_of_the_result(finished: Path) -> None:
    result = read_result(finished)
    chart = compute_chart(result, TEACHER_FORCED, "Quality", "compute")
    assert chart is not None
    spec = json.dumps(chart.spec)
    for model in result.models:
        for row in swept(model) if model.training else []:
            assert f'"value": {row.metrics["psnr"].mean}' in spec
            assert f'"forward_equivalents": {row.cost.forward_equivalents}' in spec
    figure = thinking_figure(result, TEACHER_FORCED, "smooth_l1", "error")
    assert figure is not None
    energies = [model for model in result.models if model.role == "energy"]
    for line, model in zip(figure.axes[0].get_lines(), energies, strict=True):
        assert list(line.get_ydata()) == [row.metrics["smooth_l1"].mean for row in swept(model)]
    for name in ("predictions", "horizon", "compute", "thinking", "spread", "training"):
        with Image.open(finished / "figures" / f"{name}.png") as picture:
            low, high = picture.convert("L").getextrema()
            assert (low, high) < (110, 256)
            assert picture.width > 400


def swept(model: Model) -> list[Row]:
    """The rows of a model but the fixed ones, teacher-forced."""
    return [row for row in rows_under(model, TEACHER_FORCED) if not row.setting.fixed]


def rows_of(model: dict[str, Any], split: str, protocol: str) -> list[dict[str, Any]]:
    wanted = {"split": split, "protocol": protocol}
    return [row for row in model["rows"] if row["condition"] == wanted]


def test_a_report_is_remade_from_the_result_alone_and_exported(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, place = (finished / "report.md").read_text(), tmp_path / "paper"
    (finished / "report.md").unlink()
    shutil.rmtree(finished / "figures")
    assert main(["--report", str(finished), "--export", str(place)]) == 0
    assert (finished / "report.md").read_text() == before
    assert (finished / "figures" / "predictions.png").is_file()
    with Image.open(finished / "figures" / "rollouts.gif") as animation:
        config = read_result(finished).config["evaluation"]
        assert animation.n_frames == config["context_frames"] + config["horizon"]
    assert "Copy of the last frame" in capsys.readouterr().out
    names = {file.name for file in place.iterdir()}
    for name in ("compute", "horizon", "predictions"):
        assert {f"{name}.png", f"{name}.svg"} <= names
    assert "rollouts.gif" in names
    tables = sorted(place.glob("table-*.md"))
    assert len(tables) > 5
    for table in tables:
        assert table.read_text().strip() in before
        rows = list(csv.reader(table.with_suffix(".csv").open(encoding="utf-8")))
        lines = table.read_text().replace("**", "").splitlines()
        assert [f"| {' | '.join(row)} |" for row in rows] == [lines[0], *lines[2:]]
        latex = table.with_suffix(".tex").read_text()
        assert latex.count(r"\\") == len(rows)
        assert latex.startswith(r"\begin{tabular}")
        assert "transformer_pp" not in latex.replace(r"\_", "")
    taken = tmp_path / "file"
    taken.touch()
    assert main(["--report", str(finished), "--export", str(taken)]) == 2


def test_a_published_model_of_a_run_is_shared(finished: Path, tmp_path: Path) -> None:
    push = ["--push", str(tmp_path / "pushed"), "--run", str(finished), "--model", "ebt_published"]
    assert main([*push, "--cache-dir", str(finished.parent / "cache")]) == 0
    found = PublishedEBT.from_pretrained(str(tmp_path / "pushed")).state_dict()
    weights = load_file(finished / "models/ebt_published/seed0/weights.safetensors")
    assert weights.keys() == found.keys()
    assert all((value == found[name].numpy()).all() for name, value in weights.items())


@pytest.mark.slow
def test_resuming_a_finished_run_repeats_its_numbers(finished: Path) -> None:
    before = json.loads((finished / "results.json").read_text())
    weights = (finished / "models/ebt_residual/seed0/weights.safetensors").read_bytes()
    cache = finished.parent / "cache"
    assert main(["--resume", str(finished), "--cache-dir", str(cache)]) == 0
    after = json.loads((finished / "results.json").read_text())
    assert (finished / "models/ebt_residual/seed0/weights.safetensors").read_bytes() == weights
    for old, new in zip(before["models"], after["models"], strict=True):
        assert old["training"] == new["training"]
        for a, b in zip(old["rows"], new["rows"], strict=True):
            assert a["metrics"] == b["metrics"]
            assert a["cost"]["flops"] == b["cost"]["flops"]


def test_a_shard_set_already_made_can_be_given(finished: Path, tmp_path: Path) -> None:
    cache = finished.parent / "cache"
    for number, (frames, truth) in enumerate(
        [(True, "video frames"), (False, "decoded embeddings")]
    ):
        pattern = "shards/*/frames" if frames else "embeddings/*"
        (shards,) = cache.glob(pattern)
        out = tmp_path / str(number)
        arguments = ["--data", str(shards), "--out", str(out), "--cache-dir", str(tmp_path / "c")]
        assert main([*TINY, *arguments, "--models", "copy_last,mean_frame"]) == 0
        result = json.loads((out / "results.json").read_text())
        assert result["data"]["truth"] == truth
        assert (result["data"]["encoder_ceiling"] is None) == (not frames)


def test_a_folder_without_a_readable_video_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "abc":
        (tmp_path / f"{name}.mp4").write_text("not a video")
    arguments = [
        "--data",
        str(tmp_path),
        "--out",
        str(tmp_path / "o"),
        "--cache-dir",
        str(tmp_path),
    ]
    assert main([*TINY, *arguments]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert "3 of 3 files rejected" in error


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_a_run_that_resumes(
    number: int,
    code: int,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, place = tmp_path / "out", finished.parent
    steps = ["--training.steps", "9", "--models", "transformer_pp,copy_last"]
    places = ["--data", str(place / "my clips"), "--cache-dir", str(place / "cache")]
    report = StepReport.on_train_batch_end

    def stop(callback: StepReport, trainer: L.Trainer, *others: Any) -> None:
        report(callback, trainer, *others)
        if trainer.global_step == 4:
            signal.raise_signal(number)

    with monkeypatch.context() as patch:
        patch.setattr(StepReport, "on_train_batch_end", stop)
        assert main([*TINY, *steps, *places, "--out", str(out)]) == code
    error = capsys.readouterr().err
    assert f"continue with: python benchmarks/run.py --resume {out}" in error
    assert "Traceback" not in error
    checkpoint = out / "models/transformer_pp/seed0/resume.ckpt"
    assert torch.load(checkpoint, weights_only=True)["global_step"] == 4
    assert main(["--resume", str(out)]) == 0
    command = read_result(out).environment["command"]
    assert command.startswith("python benchmarks/run.py --task next_frame")
    assert "--resume" not in command
    training = json.loads((out / "results.json").read_text())["models"][0]["training"]
    assert training["steps"] == 9
    logs = sorted(path.parent.name for path in checkpoint.parent.glob("logs/*/metrics.csv"))
    assert logs == ["version_0", "version_1"]


def test_a_finished_run_is_neither_overwritten_nor_mixed_with_other_options(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*TINY, "--out", str(finished)]) == 2
    assert "holds a run already" in capsys.readouterr().err
    config = (finished / "config.yaml").read_text()
    assert main(["--resume", str(finished), "--backbone.width", "96"]) == 2
    assert "was trained with backbone.width 64" in capsys.readouterr().err
    assert (finished / "config.yaml").read_text() == config


def test_a_run_of_an_earlier_version_is_refused_with_what_to_do(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = shutil.copytree(finished, tmp_path / "old")
    plan = old / "models/ebt_residual/seed0/plan.json"
    plan.write_text(json.dumps(json.loads(plan.read_text()) | {"format": 1}))
    cache = str(finished.parent / "cache")
    assert main(["--resume", str(old), "--cache-dir", cache]) == 2
    assert "was trained by another version of this program; give an" in capsys.readouterr().err
    config = (old / "config.yaml").read_text()
    (old / "config.yaml").write_text(config + "evaluatoin:\n  figure_clips: 3\n")
    assert main(["--resume", str(old), "--cache-dir", cache]) == 2
    error = capsys.readouterr().err
    assert "a run of an earlier version cannot be continued: start it anew" in error
    assert error.count("\n") == 1
    (old / "results.json").write_text('{"schema_version": 2, "task": "next_frame"}')
    assert main(["--report", str(old)]) == 2
    assert "repeat the run, or use the commit" in capsys.readouterr().err


def test_the_page_reads_well_in_a_browser(browser: Browser, finished: Path) -> None:
    require_readable(browser, finished / PAGE)


@pytest.mark.slow
def test_a_run_of_an_earlier_version_has_a_page_of_what_it_kept(
    finished: Path, tmp_path: Path
) -> None:
    run = tmp_path / "earlier"
    shutil.copytree(finished, run)
    pictures = load_file(run / "pictures.safetensors")
    kept = {name: p for name, p in pictures.items() if not name.startswith("thinking/")}
    assert len(kept) < len(pictures)
    save_file(kept, run / "pictures.safetensors")
    assert main(["--report", str(run)]) == 0
    page = (run / PAGE).read_text(encoding="utf-8")
    assert "Rollouts beside the truth</h2>" in page
    assert "Thinking, step by step</h2>" not in page
    assert "Thinking, step by step</h2>" in (finished / PAGE).read_text(encoding="utf-8")
