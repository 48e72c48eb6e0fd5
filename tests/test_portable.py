"""The suite runs where neither `decord` nor `resource` can be imported: macOS, ARM, Windows."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from data_prep.shards.plan import versions_of

ROOT = Path(__file__).parent.parent
PACKAGES = ("data_prep", "worldmodel", "denoise", "baselines", "benchmarks")
TINY = ["--preset", "smoke", "--device", "cpu", "--training.steps", "2"]
TINY += ["--training.validate_every", "2", "--backbone.width", "32", "--backbone.heads", "2"]
TINY += ["--evaluation.latency_repeats", "1"]

# Hidden from this suite alone: other packages ask for the system before they import them.
HIDING = f"""
import builtins
known = builtins.__import__
def hiding(name, globals=None, locals=None, fromlist=(), level=0):
    where = (globals or {{}}).get("__name__", "").split(".")[0]
    if name in ("decord", "resource") and where in {PACKAGES}:
        raise ModuleNotFoundError(f"No module named {{name!r}}")
    return known(name, globals, locals, fromlist, level)
builtins.__import__ = hiding
"""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a system on which both modules cannot be imported."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "sitecustomize.py").write_text(HIDING)
    path = os.pathsep.join([str(folder), str(ROOT)])
    return os.environ | {"PYTHONPATH": path}


def run(arguments: list[str], environment: dict[str, str]) -> str:
    line = [sys.executable, *arguments]
    done = subprocess.run(line, capture_output=True, text=True, env=environment, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow  # imports torch, diffusers and all else, in a new process
def test_every_module_is_imported(elsewhere: dict[str, str]) -> None:
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
    ]
    code = f"import importlib\nfor name in {names!r}: importlib.import_module(name)\n"
    run(["-c", code + "print(len('imported'))"], elsewhere)
    assert len(names) > 50


def test_videos_are_prepared_by_pyav(
    balls: Path, elsewhere: dict[str, str], tmp_path: Path
) -> None:
    run(["-m", "data_prep.prepare", "shards", str(balls), str(tmp_path / "set")], elsewhere)
    content = (tmp_path / "set" / "train-000000.tar").read_bytes()
    assert b'"pyav"' in content
    assert b'"decord"' not in content


@pytest.mark.slow  # whole runs in new processes, which import torch
@pytest.mark.parametrize("task", ["next_frame", "denoise"])
def test_both_tasks_run(task: str, balls: Path, elsewhere: dict[str, str], tmp_path: Path) -> None:
    options = ["--data", str(balls), "--models", "ebt_residual,transformer_pp"]
    if task == "denoise":
        options = ["--images.size", "16", "--images.crops", "2", "--evaluation.max_images", "6"]
        options += ["--models", "ebt_residual,direct"]
    out = ["--out", str(tmp_path / "run"), "--cache-dir", str(tmp_path / "cache")]
    run(["benchmarks/run.py", "--task", task, *TINY, *options, *out], elsewhere)
    assert (tmp_path / "run" / "results.json").is_file()


def test_a_package_that_is_not_installed_has_no_version() -> None:
    found = versions_of("numpy", "no-such-package")
    assert found["numpy"] is not None
    assert found["no-such-package"] is None
