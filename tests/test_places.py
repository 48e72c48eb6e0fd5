"""Wrong places are told before torch, Lightning and encoders are imported."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = """
import contextlib, importlib, io, json, sys
heavy = {'torch', 'lightning', 'timm', 'diffusers', 'decord', 'av'}
for module, arguments in json.loads(sys.argv[1]):
    main = importlib.import_module(module).main
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    imported = sorted(heavy & set(sys.modules))
    print(json.dumps([code, out.getvalue(), err.getvalue(), imported]))
"""


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("places")
    for name in ("empty/", "other/notes.txt", "few/a.mp4", "few/a.png", "model/config.json"):
        (root / name).parent.mkdir(exist_ok=True)
        if not name.endswith("/"):
            (root / name).write_text("{}")
    (root / "empty").mkdir(exist_ok=True)
    (root / "gone.csv").write_text("path,split\ngone.mp4,train\n")
    (root / "wrong.csv").write_text("path,subset\na.mp4,train\n")
    return root


VIDEOS = ["--task", "next_frame"]
IMAGES = ["--task", "denoise"]
PREPARE, BENCHMARK = "data_prep.prepare", "benchmarks.cli.command_line"


CASES = [
    (BENCHMARK, [*VIDEOS, "--data", "{}/empty"], "no video in this folder"),
    (BENCHMARK, [*VIDEOS, "--data", "{}/other"], "no video in this folder"),
    (BENCHMARK, [*VIDEOS, "--data", "{}/missing"], "no such file or folder"),
    (BENCHMARK, [*VIDEOS, "--data", "{}/few"], "leave the train split empty"),
    (BENCHMARK, [*VIDEOS, "--data", "{}/gone.csv"], "none of the 1 files that it lists"),
    (BENCHMARK, [*VIDEOS, "--data", "{}/wrong.csv", "--training.devices", "2"], "'subset'"),
    (BENCHMARK, [*IMAGES, "--data", "{}/empty"], "no image in this folder"),
    (BENCHMARK, [*IMAGES, "--test", "a={}/missing"], "no such file or folder"),
    (BENCHMARK, [*IMAGES, "--test", "a={}/empty"], "no image in this folder"),
    (BENCHMARK, [*IMAGES, "--dry-run", "--data", "{}/empty"], "no image in this folder"),
    (BENCHMARK, ["--task", "thinking", "--data", "{}/empty"], "no video in this folder"),
    (BENCHMARK, ["--task", "scaling", "--data", "{}/empty"], "no video in this folder"),
    (BENCHMARK, ["--task", "throughput", "--data", "{}/empty"], "no video in this folder"),
    (BENCHMARK, ["--task", "probe", "--run", "{}/empty"], "no finished run"),
    (BENCHMARK, [*VIDEOS, "--checkpoint", "a={}/missing"], "no config.json there"),
    (BENCHMARK, [*VIDEOS, "--checkpoint", "a={}/model"], "no model.safetensors there"),
    (BENCHMARK, ["--report", "{}/missing"], "no results.json"),
    (BENCHMARK, ["--compare", "{}/empty", "{}/other"], "no results.json"),
    (
        BENCHMARK,
        ["--push", "{}/new", "--run", "{}/empty", "--model", "ebt_residual"],
        "no results.json",
    ),
    (BENCHMARK, ["--resume", "{}/empty"], "{}/empty"),
    (PREPARE, ["shards", "{}/empty", "{}/new"], "no video in this folder"),
    (PREPARE, ["shards", "{}/missing", "{}/new"], "no such file or folder"),
    (PREPARE, ["shards", "{}/gone.csv", "{}/new"], "none of the 1 files"),
    (PREPARE, ["embed", "{}/empty", "{}/new"], "no manifest.json"),
    (PREPARE, ["verify", "{}/missing"], "no manifest.json"),
    (PREPARE, ["inspect", "{}/empty"], "no manifest.json"),
]


@pytest.fixture(scope="module")
def told(places: Path) -> dict[str, list[Any]]:
    """Exit code, what is said on both streams and what is imported, of each case in one process."""
    given = [[module, filled(arguments, places)] for module, arguments, _ in CASES]
    command = [sys.executable, "-c", PROGRAM, json.dumps(given)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=places, check=True)
    answers = map(json.loads, done.stdout.splitlines())
    return {str(case): answer for (_, case, _), answer in zip(CASES, answers, strict=True)}


def filled(arguments: list[str], places: Path) -> list[str]:
    return [argument.replace("{}", str(places)) for argument in arguments]


@pytest.mark.parametrize(("module", "arguments", "message"), CASES)
def test_a_wrong_place_is_told_at_once(
    places: Path, told: dict[str, list[Any]], module: str, arguments: list[str], message: str
) -> None:
    code, out, error, imported = told[str(arguments)]
    assert code == 2
    assert message.replace("{}", str(places)) in error
    assert error.count("\n") == 1
    assert out == ""
    assert imported == []
    assert not (places / "new").exists()
    assert not (places / "runs").exists()
