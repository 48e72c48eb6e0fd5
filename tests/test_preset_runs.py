"""Every preset runs to its report: at reduced size, with few models, in its own precision."""

import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from matplotlib.figure import Figure
from PIL import Image

from benchmarks.command_line import main
from benchmarks.reporting.html import PAGE
from benchmarks.reporting.results import read_result
from benchmarks.tasks.registry import TASKS, preset_files
from benchmarks.tasks.scaling import fitting, sweep

TRAINED = {
    "backbone": {"layers": 1, "heads": 2, "width": 32},
    "training": {
        "steps": 2,
        "batch_size": 2,
        "warmup_steps": 1,
        "validate_every": 2,
        "processes": 1,
    },
}
JUDGED = {"counts": [1, 2], "batch_size": 4, "latency_repeats": 1, "figure_samples": 1}
AHEAD = {"horizon": 2, "context_frames": 2}
VIDEOS = {
    "balls": {"train": 3, "validation": 2, "test": 2, "seconds": 2.0, "size": 32},
    "corpus": {"size": 32, "frames": 5},
    "encoder": {"patch_size": 16, "frequencies": 10},
}
IMAGES = {
    "dead_leaves": {"train": 3, "validation": 2, "test": 2},
    "images": {"size": 16, "crops": 1},
    "encoder": {"patch_size": 4, "frequencies": "null"},
}
PROBED = {"attentive_steps": 2, "attentive_decays": [0.1], "regularisations": [1.0], "max_items": 8}
CHOSEN = {"counts": [1, 2], "candidates": [1, 2], "thresholds": 3}
REDUCED: dict[str, dict[str, dict[str, Any]]] = {
    "next_frame": VIDEOS | {"evaluation": JUDGED | AHEAD},
    "denoise": IMAGES | {"evaluation": JUDGED | {"validation_images": 2, "max_images": 2}},
    "thinking": VIDEOS
    | {"evaluation": JUDGED | CHOSEN}
    | {"ladders": {key: [] for key in ("speeds", "numbers", "sizes", "gravities", "hues")}},
    "thinking/denoise": IMAGES
    | {"evaluation": JUDGED | CHOSEN}
    | {"ladders": {"levels": [0.2], "photons": [], "salt_and_pepper": [], "blurs": []}},
    "scaling": VIDEOS
    | {"encoder": {"patch_size": 32, "frequencies": 10}}  # a variant has 400
    | {"evaluation": JUDGED | AHEAD, "values": {"width": [16, 32]}},
    "probe": VIDEOS | {"evaluation": AHEAD, "probe": PROBED},
    "probe/images": IMAGES | {"probe": PROBED | {"noise_steps": [0]}},
}
MODELS = {
    "next_frame": "ebt,transformer_pp,copy_last",
    "denoise": "ebt,dit,direct,identity",
    "thinking": "ebt,transformer_pp,copy_last",
    "thinking/denoise": "ebt,direct,identity",
    "scaling": "ebt,transformer_pp",
    "probe": "ebt,transformer_pp",
    "probe/images": "ebt,dit,direct",
}
PRESETS = [(task, preset) for task in REDUCED for preset in preset_files(task)]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Presets share their corpora."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave figures blank, fit few replicates, and run the points of a sweep in this process."""

    def save(figure: Figure, place: Path, **_: Any) -> None:
        Image.new("RGB", (2, 2)).save(place)

    class Process:
        def __init__(self, command: list[str], **_: Any):
            self.code = main(command[2:])

        def wait(self) -> int:
            return self.code

    with monkeypatch.context() as patch:
        patch.setattr(Figure, "tight_layout", lambda figure, **_: None)
        patch.setattr(Figure, "savefig", save)
        patch.setattr(fitting, "REPLICATES", 8)
        started = SimpleNamespace(Popen=Process, DEVNULL=None, STDOUT=None, PIPE=None)
        patch.setattr(sweep, "subprocess", started)
        patch.setattr(signal, "signal", lambda *_: None)  # points run in a thread
        yield


@pytest.mark.parametrize(("task", "preset"), PRESETS)
@pytest.mark.filterwarnings("ignore")
def test_a_preset_runs_to_its_report(task: str, preset: str, cache: Path, tmp_path: Path) -> None:
    options = [
        f"--{section}.{name}={str(value).replace(' ', '')}"
        for section, values in (TRAINED | REDUCED[task]).items()
        for name, value in values.items()
    ]
    arguments = ["--task", task, "--preset", preset, "--models", MODELS[task], "--seeds", "0"]
    arguments += ["--device", "cpu", "--cache-dir", str(cache), "--out", str(tmp_path / "run")]
    assert main([*arguments, *options]) == 0
    assert (tmp_path / "run" / PAGE).is_file()
    assert read_result(tmp_path / "run").task == task


def test_every_task_with_a_preset_is_run() -> None:
    assert set(TASKS) - set(REDUCED) == {"throughput"}  # test_throughput.py runs it
