"""Models from outside the repository, in every task that takes them."""

import ast
import json
from pathlib import Path

import pytest

from benchmarks import models as registered
from benchmarks.cli.command_line import main
from benchmarks.cli.options import parse, to_config
from benchmarks.tasks.registry import load_task
from data_prep.encoders.named import named
from data_prep.errors import InputError

ROOT = Path(__file__).parent.parent
TWO_FRAMES = "examples.two_frames:TwoFrames"
DENOISER = "examples.patch_denoiser:PatchDenoiser"
TINY = ["--training.steps", "4", "--training.validate_every", "2", "--training.processes", "1"]
TINY += ["--device", "cpu", "--evaluation.latency_repeats", "1"]


@pytest.fixture(autouse=True)
def _examples_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.mark.parametrize("name", ["two_frames", "patch_denoiser", "mean_colours"])
def test_an_example_takes_less_than_thirty_lines(name: str) -> None:
    tree = ast.parse((ROOT / "examples" / f"{name}.py").read_text())
    (model,) = (
        n for n in tree.body if isinstance(n, ast.ClassDef) and not n.name.endswith("Config")
    )
    assert model.end_lineno is not None
    assert model.end_lineno - model.lineno < 30


def test_a_next_frame_model_is_trained_judged_counted_and_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = ["--cache-dir", str(tmp_path / "cache")]
    out = tmp_path / "out"
    arguments = ["--task", "next_frame", "--preset", "smoke", *TINY, *cache]
    arguments += ["--balls.train", "8", "--balls.validation", "3", "--balls.test", "4"]
    arguments += ["--models", "transformer_pp,copy_last", "--model", TWO_FRAMES]
    arguments += ["--two_frames.hidden", "24", "--two_frames.learning_rate", "0.02"]
    assert main([*arguments, "--out", str(out)]) == 0
    result = json.loads((out / "results.json").read_text())
    assert [model["name"] for model in result["models"]] == [
        "transformer_pp",
        "copy_last",
        "two_frames",
    ]
    own = result["models"][2]
    dim = result["data"]["encoder"]["dim"]
    assert own["parameters"] == 24 * (2 * dim + 1) + dim * 25
    cost = own["rows"][0]["cost"]
    patches = result["data"]["encoder"]["grid"][0] * result["data"]["encoder"]["grid"][1]
    frames = 11  # of the context
    assert cost["flops"] == 2 * frames * patches * (2 * dim * 24 + 24 * dim)
    assert cost["forward_passes"] == 1
    assert own["training"]["steps"] == 4
    assert {c["b"] for c in result["comparisons"]} >= {"two_frames"}
    assert result["config"]["sections"]["two_frames"]["hidden"] == 24
    assert "two_frames" in (out / "report.md").read_text()
    capsys.readouterr()
    registered._added["video"].clear()
    assert main(["--resume", str(out)]) == 2  # no code is loaded because a file names it
    assert f"give --model {TWO_FRAMES} again" in capsys.readouterr().err
    assert main(["--resume", str(out), "--model", TWO_FRAMES]) == 0


def test_a_denoiser_is_trained_and_judged(tmp_path: Path) -> None:
    arguments = ["--task", "denoise", "--preset", "smoke", *TINY, "--model", DENOISER]
    arguments += ["--dead_leaves.train", "4", "--dead_leaves.validation", "4"]
    arguments += ["--dead_leaves.test", "4", "--models", "identity"]
    out = tmp_path / "out"
    assert main([*arguments, "--out", str(out), "--cache-dir", str(tmp_path / "cache")]) == 0
    result = json.loads((out / "results.json").read_text())
    assert [model["name"] for model in result["models"]] == ["identity", "patch_denoiser"]
    assert result["models"][1]["rows"][0]["cost"]["forward_passes"] == 1


@pytest.mark.parametrize("task", ["next_frame", "scaling", "probe", "thinking"])
def test_every_task_of_videos_takes_the_model(task: str) -> None:
    config = to_config(parse(["--task", task, "--preset", "smoke", "--model", TWO_FRAMES]))
    assert "two_frames" in config.models
    assert type(config.sections["two_frames"]).__name__ == "TwoFramesConfig"
    assert "two_frames" in {spec.name for spec in load_task(task).domain.specs}


def test_wrong_models_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    for place, said in (
        ("nowhere:Model", "give package.module:Class"),
        ("examples.two_frames:Nothing", "give package.module:Class"),
        ("examples.two_frames:torch", "is no class"),
    ):
        assert main(["--task", "next_frame", "--model", place]) == 2
        assert said in capsys.readouterr().err
    assert main(["--task", "throughput", "--model", TWO_FRAMES]) == 2
    with pytest.raises(InputError, match="is taken"):
        registered.add_models("video", [TWO_FRAMES], ["two_frames"])


def test_installed_packages_offer_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "offered-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: offered\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text(f"[ebt_bench.predictors]\nmine = {TWO_FRAMES}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    config = to_config(parse(["--task", "next_frame", "--models", "two_frames"]))
    assert config.models == ["two_frames"]
    plain = to_config(parse(["--task", "next_frame"]))
    assert "two_frames" not in plain.models  # offered, not run unless it is named


COLOURS = "own:examples.mean_colours:MeanColours"


def test_an_encoder_embeds_and_leads_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--task", "next_frame", "--preset", "smoke", *TINY]
    arguments += ["--balls.train", "6", "--balls.validation", "2", "--balls.test", "2"]
    arguments += ["--models", "transformer_pp,copy_last", "--cache-dir", str(tmp_path / "cache")]
    arguments += ["--encoder.name", COLOURS, "--encoder.patch_size", "8"]
    out = tmp_path / "out"
    assert main([*arguments, "--out", str(out)]) == 0
    result = json.loads((out / "results.json").read_text())
    assert result["data"]["encoder"]["name"] == COLOURS
    assert result["data"]["encoder"]["dim"] == 3
    assert "psnr" in result["models"][0]["rows"][0]["metrics"]
    capsys.readouterr()
    named.clear()
    assert main(["--resume", str(out)]) == 2  # no code is loaded because a file names it
    assert f"give --encoder.name {COLOURS} again" in capsys.readouterr().err
    assert main([*arguments, "--encoder.name", "own:nowhere:E", "--out", str(tmp_path / "n")]) == 2
    assert "own:nowhere:E" in capsys.readouterr().err
