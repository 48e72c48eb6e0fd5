"""Every preset runs to its report: at reduced size, with few models, in its own precision.

The defaults of next_frame and denoise always do, all others among the slow tests.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asking import WITH_MODELS
from matplotlib.figure import Figure
from PIL import Image
from sweeping import run_points_here

from benchmarks.cli.command_line import main
from benchmarks.record.results import read_result
from benchmarks.reporting.html import PAGE
from benchmarks.tasks.registry import DEFAULT_PRESET
from benchmarks.tasks.scaling import fitting

TRAINED = {
    "backbone": {"layers": 1, "heads": 2, "width": 32},
    "training": {
        "steps": 2,
        "batch_size": 2,
        "accumulate": 1,
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
    "encoder": {"name": "dct", "patch_size": 16, "frequencies": 10},
}
IMAGES = {
    "dead_leaves": {"train": 3, "validation": 2, "test": 2},
    "images": {"size": 16, "crops": 1, "held_out_crops": 1, "centre": "false"},
    "encoder": {"name": "dct", "patch_size": 4, "frequencies": "null"},
}
PROBED = {"attentive_steps": 2, "attentive_decays": [0.1], "regularisations": [1.0], "max_items": 8}
CHOSEN = {"counts": [1, 2], "candidates": [1, 2], "thresholds": 3}
REDUCED: dict[tuple[str, str], dict[str, dict[str, Any]]] = {
    ("next_frame", "video"): VIDEOS | {"evaluation": JUDGED | AHEAD},
    ("denoise", "image"): IMAGES
    | {"corruption": {"levels": [0.1], "swept_levels": [0.1]}}
    | {"dit_published": {"recursions": [1]}}
    | {"evaluation": JUDGED | {"validation_images": 2, "max_images": 2}},
    ("thinking", "video"): VIDEOS
    | {"evaluation": JUDGED | CHOSEN}
    | {"shifts": {key: [] for key in ("speeds", "numbers", "sizes", "gravities", "hues")}},
    ("thinking", "image"): IMAGES
    | {"evaluation": JUDGED | CHOSEN}
    | {"shifts": {"levels": [0.2], "photons": [], "salt_and_pepper": [], "blurs": []}},
    ("scaling", "video"): VIDEOS
    | {"encoder": {"patch_size": 32, "frequencies": 10}}  # a variant has 400
    | {"evaluation": JUDGED | AHEAD, "values": {"width": [16, 32]}},
    ("scaling", "image"): IMAGES
    | {"corruption": {"levels": [0.1], "swept_levels": [0.1]}, "values": {"width": [64, 80]}}
    | {"evaluation": JUDGED | {"validation_images": 2, "max_images": 2}},
    ("probe", "video"): VIDEOS | {"probe": PROBED},
    ("probe", "image"): IMAGES | {"probe": PROBED | {"noise_steps": [0]}},
}
MODELS = {
    ("next_frame", "video"): "ebt_residual,transformer_pp,copy_last",
    ("denoise", "image"): "ebt_residual,dit,direct,identity",
    ("thinking", "video"): (
        "ebt_published,transformer_published,ebt_residual,transformer_pp,copy_last"
    ),
    ("thinking", "image"): "ebt_published,ebt_residual,direct,identity",
    ("scaling", "video"): "ebt_residual,transformer_pp",
    ("scaling", "image"): "ebt_residual,direct",
    ("probe", "video"): "ebt_residual,transformer_pp",
    ("probe", "image"): "ebt_residual,dit,direct",
}


PRESETS = [
    pytest.param(*of, marks=[] if fast else [pytest.mark.slow])
    for of in WITH_MODELS
    for fast in [of[2] == DEFAULT_PRESET and of[0] in ("next_frame", "denoise")]
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Presets share their corpora."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave figures blank, fit few replicates, and run the points of a sweep in this process."""

    def save(figure: Figure, place: Path, **_: Any) -> None:
        Image.new("RGB", (2, 2)).save(place)

    with monkeypatch.context() as patch:
        patch.setattr(Figure, "savefig", save)
        patch.setattr(fitting, "REPLICATES", 8)
        run_points_here(patch)
        yield


def given(task: str, preset: str, folder: Path) -> list[str]:
    """What a preset wants of the user, such as digits, and what of it takes too long here."""
    if task == "next_frame" and preset in ("moving_mnist", "evidence"):
        digits = folder / "digits"
        header = b"\x00\x00\x08\x03" + b"".join(n.to_bytes(4) for n in (20, 8, 8))
        digits.write_bytes(header + bytes(range(64)) * 20)
        counts = [f"--moving_mnist.{split}=3" for split in ("train", "validation", "test")]
        return [f"--moving_mnist.digits={digits}", *counts]
    if task == "denoise" and preset in ("sigma", "evidence"):
        (folder / "set").mkdir()
        Image.new("RGB", (24, 20), "teal").save(folder / "set/a.png")
        return ["--test", f"tiny={folder / 'set'}"]
    if preset == "published_bottleneck":
        return ["--search_each=false"]  # eleven trainings more for each model of each point
    return []


@pytest.mark.parametrize(("task", "domain", "preset"), PRESETS)
@pytest.mark.filterwarnings("ignore")
def test_a_preset_runs_to_its_report(
    task: str, domain: str, preset: str, cache: Path, tmp_path: Path
) -> None:
    options = [
        f"--{section}.{name}={str(value).replace(' ', '')}"
        for section, values in (TRAINED | REDUCED[task, domain]).items()
        for name, value in values.items()
    ]
    arguments = ["--task", task, "--preset", preset, *given(task, preset, tmp_path)]
    if not preset.startswith("published"):
        arguments += ["--models", MODELS[task, domain]]
    arguments += ["--domain", domain, "--seeds", "0"]
    arguments += ["--device", "cpu", "--cache-dir", str(cache), "--out", str(tmp_path / "run")]
    assert main([*arguments, *options]) == 0
    assert (tmp_path / "run" / PAGE).is_file()
    assert read_result(tmp_path / "run").task == task
