"""Trained models as folders that others load, and as repositories of a hub that is faked."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch
import yaml
from huggingface_hub import parse_eval_result_entries
from nbclient import NotebookClient
from safetensors.torch import load_file, save_file
from test_resuming import BACKBONE, small
from test_resuming import MODELS as EVERY

from baselines.transformer_pp import TransformerPP
from benchmarks.cli.command_line import main
from benchmarks.record.results import read_result
from benchmarks.tasks.loading import load_run, of_run
from benchmarks.tasks.registry import load_task
from benchmarks.training.fit import TrainedModel
from benchmarks.training.plan import PlannedModel
from data_prep.errors import InputError
from worldmodel import load
from worldmodel.next_frame import NextFrameEBT
from worldmodel.predictor import Clips, Thinking
from worldmodel.sharing import write_model

TINY = ["--task", "next_frame", "--preset", "smoke", "--device", "cpu", "--training.steps", "4"]
TINY += ["--training.validate_every", "2", "--training.processes", "1"]
SIZED = ["transformer_pp_looped", "transformer_pp_equal_inference"]  # by how the EBT runs best
MODELS = ",".join(["ebt_residual", "transformer_pp", *SIZED, "copy_last"])
TINY += ["--evaluation.latency_repeats", "1", "--models", MODELS]
TINY += ["--balls.train", "6", "--balls.validation", "2", "--balls.test", "3"]
TINY += ["--balls.turn_odds", "0"]  # as in the smoke preset of probes


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tiny run and its cache."""
    folder = tmp_path_factory.mktemp("shared")
    run, cache = folder / "run", folder / "cache"
    assert main([*TINY, "--out", str(run), "--cache-dir", str(cache)]) == 0
    return run, cache


@pytest.fixture(scope="module")
def pushed(finished: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    run, cache = finished
    place = tmp_path_factory.mktemp("pushed") / "ebt_residual"
    arguments = ["--push", str(place), "--run", str(run), "--model", "ebt_residual"]
    assert main([*arguments, "--cache-dir", str(cache)]) == 0
    return place


def loaded(run: Path, cache: Path, name: str) -> tuple[list[TrainedModel], Any]:
    """A model of a run, and the run's data."""
    config, inputs = of_run(run, "next_frame", cache)
    task = load_task("next_frame")
    data = task.prepare(config, inputs)
    return load_run(run, config, task.domain.specs, [name], data, "cpu").models, data


def test_a_pushed_model_is_the_trained_one(finished: tuple[Path, Path], pushed: Path) -> None:
    run, cache = finished
    (trained,), data = loaded(run, cache, "ebt_residual")
    _, clip = data.clips("test")[0]
    context = Clips(clip[None, :5], ["clip"])
    expected = trained.predictors[0].predict(context, Thinking(2)).prediction
    found = NextFrameEBT.from_pretrained(str(pushed))
    assert torch.equal(found.predict(context, Thinking(2)).prediction, expected)
    frames = data.truth("test", [0], clip[None])[0, :5]
    model = load(pushed)
    frame = model.predict(frames)
    assert torch.allclose(frame, data.decode(expected)[0, -1].clamp(0, 1), atol=2e-2)


def test_a_loaded_model_predicts_thinks_and_judges(pushed: Path) -> None:
    model = load(pushed)
    frames = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert model.rollout(frames, 3).shape == (3, 3, 32, 32)
    assert torch.allclose(model.rollout(frames, 3)[0], model.predict(frames), atol=1e-5)
    thought = model.think(frames, steps=3)
    assert thought.frames.shape == (4, 3, 32, 32)
    assert thought.energies.shape == (4,)
    assert torch.allclose(thought.frames[-1], model.predict(frames, steps=3), atol=1e-5)
    one, other = model.energy(frames, torch.stack([thought.frames[-1], 1 - thought.frames[-1]]))
    assert one < other
    with pytest.raises(InputError, match="give"):
        model.predict(frames[:, :, :16])


def test_frames_are_bytes_or_numbers_from_0_to_1(pushed: Path) -> None:
    model = load(pushed)
    taken = torch.randint(256, (4, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    frames = taken / 255
    expected = model.predict(frames)
    assert torch.allclose(model.predict(taken.byte()), expected, atol=1e-5)
    assert torch.allclose(model.predict(frames.double()), expected, atol=1e-5)
    assert torch.allclose(model.predict(frames * 1.04 - 0.02), expected, atol=0.1)
    energies = model.energy(frames, taken[:2].byte()), model.energy(frames, frames[:2])
    assert torch.allclose(*energies, rtol=1e-4)
    for wrong, message in (
        (taken, "int64"),
        (taken.float(), "from 0 to 255"),
        (frames * 2 - 1, "give uint8"),
        (frames.log(), "-inf"),
        (frames + torch.nan, "nan"),
        (frames[:0], "no frames"),
        (frames > 0.5, "bool"),
    ):
        with pytest.raises(InputError, match=message):
            model.predict(wrong)


def test_a_model_folder_has_a_card_and_results_in_the_format_of_the_hub(
    finished: tuple[Path, Path], pushed: Path
) -> None:
    result = read_result(finished[0])
    card = (pushed / "README.md").read_text()
    assert "from worldmodel import load" in card
    assert "## Limits" in card
    assert result.environment["command"] in card
    (file,) = (pushed / ".eval_results").glob("*.yaml")
    entries = parse_eval_result_entries(yaml.safe_load(file.read_text()))
    ebt = next(model for model in result.models if model.name == "ebt_residual")
    row = next(
        r
        for r in ebt.rows
        if r.selected and r.condition == {"split": "test", "protocol": "teacher_forced"}
    )
    found = {entry.task_id: entry for entry in entries}
    entry = found["next_frame.test.teacher_forced.psnr"]
    assert entry.value == pytest.approx(row.metrics["psnr"].mean, abs=1e-5)
    assert "95 % interval" in str(entry.notes)
    assert not any("validation" in name for name in found)
    assert "model-index" not in card


def test_weights_are_loaded_strictly_and_never_pickled(pushed: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(pushed, tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    weights.pop(next(iter(weights)))
    save_file(weights, broken / "model.safetensors")
    with pytest.raises(RuntimeError, match="Missing key"):
        NextFrameEBT.from_pretrained(str(broken))
    with pytest.raises(InputError, match="pickled"):
        NextFrameEBT._load_as_pickle(None, "weights.bin", "cpu", True)


def test_no_code_is_run_because_a_folder_names_it(pushed: Path, tmp_path: Path) -> None:
    place = shutil.copytree(pushed, tmp_path / "named")
    config = json.loads((place / "config.json").read_text())
    config["encoder"]["name"] = "own:antigravity:Encoder"
    (place / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="not run from a file"):
        load(place)
    config["encoder"] |= {"name": "dct", "weights": "other"}
    (place / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="are others than its own"):
        load(place)


def test_other_models_are_pushed_and_loaded_by_their_class(
    finished: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, cache = finished
    place = tmp_path / "plain"
    arguments = ["--run", str(run), "--cache-dir", str(cache), "--push", str(place), "--model"]
    assert main([*arguments, "transformer_pp"]) == 0
    assert TransformerPP.from_pretrained(str(place)).anchor == "zero"
    with pytest.raises(InputError, match="holds a TransformerPP"):
        load(place)
    capsys.readouterr()
    assert main([*arguments, "ebt_residual"]) == 2
    assert "holds something already" in capsys.readouterr().err
    assert main([*arguments, "copy_last"]) == 2
    assert "none of its models" in capsys.readouterr().err
    assert main(["--push", str(tmp_path / "x"), "--run", str(run)]) == 2
    assert "give --run FOLDER and --model NAME" in capsys.readouterr().err


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.filterwarnings("ignore:embedding width")
def test_every_model_is_written_and_loaded(name: str, tmp_path: Path) -> None:
    task, spec = EVERY[name]
    config, data = small(task)
    section = config.sections[spec.name]
    planned = PlannedModel(spec, section, BACKBONE, steps=1)
    model = planned.build(data)
    write_model(model, tmp_path, planned.written(data.encoder))
    back = type(model).from_pretrained(str(tmp_path))
    assert back.settings([1, 3]) == model.settings([1, 3])
    found, state = back.state_dict(), model.state_dict()
    assert found.keys() == state.keys()
    assert all(torch.equal(state[key], value) for key, value in found.items())


@pytest.mark.parametrize(
    "name", [SIZED[0], *(pytest.param(name, marks=pytest.mark.slow) for name in SIZED[1:])]
)
def test_a_model_that_a_selection_sized_is_pushed_and_judged(
    name: str, finished: tuple[Path, Path], tmp_path: Path
) -> None:
    run, cache = finished
    place, judged = tmp_path / "pushed", tmp_path / "judged"
    options = ["--cache-dir", str(cache)]
    assert main(["--push", str(place), "--run", str(run), "--model", name, *options]) == 0
    trained, ebt = (loaded(run, cache, wanted)[0][0] for wanted in (name, "ebt_residual"))
    assert trained.planned.backbone != ebt.planned.backbone
    state = trained.predictors[0].state_dict()
    found = TransformerPP.from_pretrained(str(place)).state_dict()
    assert found.keys() == state.keys()
    assert all(torch.equal(state[key], value) for key, value in found.items())
    few = ["--models", "copy_last", "--checkpoint", f"mine={place}", "--out", str(judged)]
    assert main([*TINY, *few, *options]) == 0


def test_a_run_that_kept_no_selection_says_so(
    finished: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = shutil.copytree(finished[0], tmp_path / "old")
    arguments = ["--push", str(tmp_path / "x"), "--run", str(old), "--cache-dir", str(finished[1])]
    (old / "selected.json").write_text("[]")
    assert main([*arguments, "--model", SIZED[0]]) == 2
    assert "selected.json: is damaged" in capsys.readouterr().err
    (old / "selected.json").unlink()
    assert main([*arguments, "--model", SIZED[0]]) == 2
    assert f"{SIZED[0]}: the run does not keep how ebt_residual ran" in capsys.readouterr().err


def test_a_repository_of_the_hub_gets_the_same_folder(
    finished: tuple[Path, Path],
    pushed: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run, cache = finished
    hub = tmp_path / "hub"

    class FakeHub:
        def create_repo(self, repository: str, exist_ok: bool) -> None:
            (hub / repository).mkdir(parents=True, exist_ok=exist_ok)

        def upload_folder(self, repo_id: str, folder_path: Path, commit_message: str) -> None:
            shutil.copytree(folder_path, hub / repo_id, dirs_exist_ok=True)

    monkeypatch.setattr("benchmarks.cli.hub.HfApi", FakeHub)
    arguments = ["--push", "hf:someone/ebt", "--run", str(run), "--model", "ebt_residual"]
    assert main([*arguments, "--cache-dir", str(cache)]) == 0
    assert "https://huggingface.co/someone/ebt" in capsys.readouterr().out
    there, here = (
        {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
        for folder in (hub / "someone/ebt", pushed)
    )
    assert there == here
    assert json.loads((hub / "someone/ebt/config.json").read_text())["class"] == "NextFrameEBT"


JUDGED = [*TINY, "--models", "transformer_pp,copy_last", "--seeds", "0,1"]


def test_a_checkpoint_is_judged_without_training(
    finished: tuple[Path, Path], pushed: Path, tmp_path: Path
) -> None:
    cache = ["--cache-dir", str(finished[1])]
    out = tmp_path / "run"
    assert main([*JUDGED, *cache, "--checkpoint", f"mine={pushed}", "--out", str(out)]) == 0
    assert not (out / "models" / "mine").exists()
    before, result = read_result(finished[0]), read_result(out)
    (trained,) = (model for model in before.models if model.name == "ebt_residual")
    (mine,) = (model for model in result.models if model.name == "mine")
    assert (mine.role, mine.training) == ("energy", trained.training)
    for row, other in zip(mine.rows, trained.rows, strict=True):
        assert (row.setting, row.condition) == (other.setting, other.condition)
        assert row.metrics["psnr"].mean == pytest.approx(other.metrics["psnr"].mean, abs=1e-4)
    assert any({c.a, c.b} == {"transformer_pp", "mine"} for c in result.comparisons)
    assert "Trained before, elsewhere: " in (out / "report.md").read_text()
    assert main(["--resume", str(out)]) == 0


@pytest.mark.slow
def test_a_checkpoint_is_probed(finished: tuple[Path, Path], pushed: Path, tmp_path: Path) -> None:
    cache = ["--cache-dir", str(finished[1])]
    probed = tmp_path / "probed"
    options = ["--task", "probe", "--preset", "smoke", *TINY[4:], "--models", "transformer_pp"]
    options[options.index("--evaluation.latency_repeats")] = "--seeds"
    options += ["--seeds", "0", "--balls.wall", "false"]
    assert main([*options, *cache, "--checkpoint", f"mine={pushed}", "--out", str(probed)]) == 0
    assert "`mine`" in (probed / "report.md").read_text()
    beside = tmp_path / "beside"
    options += ["--run", str(finished[0]), "--checkpoint", f"again={pushed}", "--out", str(beside)]
    assert main([*options, *cache]) == 0
    text = (beside / "report.md").read_text()
    assert "`again`" in text
    assert "`transformer_pp`" in text


def test_what_is_no_checkpoint_is_said(
    finished: tuple[Path, Path], pushed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(given: str, *options: str) -> str:
        out = tmp_path / str(len(list(tmp_path.iterdir())))
        arguments = [*JUDGED, "--cache-dir", str(finished[1]), "--out", str(out)]
        assert main([*arguments, "--checkpoint", given, *options]) == 2
        return capsys.readouterr().err

    assert "give NAME=PLACE" in said(str(pushed))
    assert "trains a model ebt_residual itself" in said(f"ebt_residual={pushed}")
    assert "no config.json there" in said(f"mine={tmp_path}")
    other, second = tmp_path / "other", tmp_path / "second"
    shutil.copytree(pushed, other)
    shutil.copytree(pushed, second)
    about = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(about | {"class": "Trojan"}))
    assert "a Trojan is none of PublishedEBT" in said(f"mine={other}")
    del about["scale"]
    (other / "config.json").write_text(json.dumps(about))
    assert "its config.json lacks scale" in said(f"mine={other}")
    assert "the name mine is taken" in said(f"mine={pushed}", "--checkpoint", f"mine={second}")
    (second / "model.safetensors").write_bytes(b"broken")
    assert "cannot be loaded" in said(f"broken={second}")
    assert "embeddings whose dim" in said(f"mine={pushed}", "--encoder.frequencies", "6")
    assert "differs from that here" in said(f"mine={pushed}", "--balls.train", "5")


@pytest.mark.slow
def test_the_notebook_runs() -> None:
    folder = Path(__file__).parent.parent / "examples"
    notebook = nbformat.read(folder / "think.ipynb", 4)
    done = NotebookClient(notebook, resources={"metadata": {"path": folder}}).execute()
    (kinds,) = [c for c in done.cells if "figure, axes" in c.source]
    assert any("image/png" in output.get("data", {}) for output in kinds.outputs)
    assert "truth, inverted" in done.cells[-1].outputs[0]["data"]["text/plain"]


class Hub(BaseHTTPRequestHandler):
    """A hub for downloads: the files of `folder` as the repository someone/ebt."""

    folder: Path

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        if (content := self._answer()) is not None:
            self.wfile.write(content)

    def _answer(self) -> bytes | None:
        file = self.folder / self.path.removeprefix("/someone/ebt/resolve/main/")
        if not file.is_file():
            self.send_error(404)
            return None
        content = file.read_bytes()
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", "a" * 40)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        return content

    def log_message(self, *_: object) -> None:
        """Nothing."""


DOWNLOAD = """
import sys
from benchmarks.cli.command_line import main
from benchmarks.cli.options import parse
from benchmarks.tasks.registry import load_task
from worldmodel import load

parse([*sys.argv[1:], "--checkpoint", "mine=hf:someone/ebt"])
(mine,) = (spec for spec in load_task("next_frame").domain.specs if spec.name == "mine")
print(mine.build.about["class"], type(load("someone/ebt").predictor).__name__)
print(main([*sys.argv[1:], "--checkpoint", "other=hf:someone/nothing"]))
"""


def test_models_are_downloaded_from_a_hub(pushed: Path, tmp_path: Path) -> None:
    handler = type("OwnHub", (Hub,), {"folder": pushed})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        environment = os.environ | {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", DOWNLOAD, *JUDGED],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            cwd=Path(__file__).parent.parent,
        )
        server.shutdown()
    assert "NextFrameEBT NextFrameEBT" in done.stdout, done.stderr
    assert done.stdout.splitlines()[-1] == "2"
    assert "--checkpoint other=hf:someone/nothing: " in done.stderr
    assert "Traceback" not in done.stderr
