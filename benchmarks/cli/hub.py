"""Share a trained model: a folder with weights, configuration, a card and results, or the hub."""

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResultEntry, HfApi, eval_result_entries_to_yaml

from benchmarks.config import JSON
from benchmarks.record.machine_places import without_places
from benchmarks.record.results import Model, Result, read_result
from benchmarks.reporting.tables import Table, interval, markdown
from benchmarks.tasks.contract import ModelTask
from benchmarks.tasks.loading import LoadedRun, load_run, of_run
from benchmarks.tasks.registry import load_task
from benchmarks.training.pretrained import HUB
from data_prep.errors import InputError
from denoise.image_model import CLASSES as IMAGE_EBTS
from worldmodel.sharing import write_model
from worldmodel.video_model import CLASSES as VIDEO_EBTS

DATASET = "ebt-bench"  # name of the benchmark in results on the hub


def push(place: str, run: Path, name: str, cache: Path) -> str:
    """Write a model of a finished run to a folder, or to a repository of the hub (`hf:USER/NAME`).

    The weights are those of the run's first training seed. Gives the place.

    Raises:
        InputError: the run has no such model, or the folder holds something already.
    """
    result = read_result(run)
    options = yaml.safe_load((run / "config.yaml").read_text())
    if options.get("model") or str(options["encoder"]["name"]).startswith("own:"):
        raise InputError(f"--run {run}: has models or an encoder of your own; it cannot be pushed")
    config, inputs = of_run(run, result.task, cache)
    task = load_task(result.task, result.domain)
    assert isinstance(task, ModelTask)
    data = task.prepare(config, inputs)
    loaded = load_run(run, config, task.specs, [name], data, "cpu")
    if not place.startswith(HUB):
        folder = Path(place)
        if folder.exists() and any(folder.iterdir()):
            raise InputError(f"--push {place}: holds something already; give a new folder")
        _write(folder, loaded, data, result)
        return place
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _write(folder, loaded, data, result)
        hub, repository = HfApi(), place.removeprefix(HUB)
        hub.create_repo(repository, exist_ok=True)
        hub.upload_folder(repo_id=repository, folder_path=folder, commit_message="Add the model")
    return f"https://huggingface.co/{repository}"


def _write(folder: Path, loaded: LoadedRun, data: Any, result: Result) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (trained,) = loaded.models
    predictor = trained.predictors[0]
    planned = trained.planned
    scaler = data.train.scaler
    model = next(m for m in result.models if m.name == trained.name)
    training = model.training
    assert training is not None
    config: JSON = {
        "class": type(predictor).__name__,
        **planned.written(data.encoder),
        "size": int(data.embeddings.manifest["arguments"]["size"]),
        "encoder": data.embeddings.manifest["encoder"],
        "mean": scaler.mean.tolist(),
        "scale": scaler.scale.tolist(),
        "training": dataclasses.asdict(training),
        "task": result.task,
        "seed": result.seeds[0],
        "commit": result.environment["commit"],
    }
    write_model(predictor, folder, config)
    (folder / "README.md").write_text(
        _card(result, model, config, data.encoder.decodable), encoding="utf-8"
    )
    (folder / ".eval_results").mkdir()
    entries = eval_result_entries_to_yaml(_entries(result, model))
    (folder / ".eval_results" / f"{DATASET}.yaml").write_text(yaml.safe_dump(entries))


def _entries(result: Result, model: Model) -> list[EvalResultEntry]:
    """The means of the selected settings on test, in the hub's format."""
    found = []
    for row in model.rows:
        if not row.selected or "validation" in row.condition.values():
            continue
        where = ".".join(row.condition.values()).replace(" ", "_")
        for metric in ("psnr", "ssim", "smooth_l1"):
            if metric in row.metrics:
                value = row.metrics[metric]
                low, high = value.ends
                notes = (
                    f"95 % interval {low:.4g} to {high:.4g} over {value.n} sources, "
                    f"{_seeds(result)}; {row.setting.label}"
                )
                task = f"{result.task}.{where}.{metric}"
                found.append(EvalResultEntry(DATASET, task, round(value.mean, 6), notes=notes))
    return found


def _card(result: Result, model: Model, config: JSON, decodable: bool) -> str:
    """The model card: what it is, what it reached, and what it is not good for."""
    environment, encoder = result.environment, result.data["encoder"]
    training = model.training
    assert training is not None
    command = without_places(str(environment.get("command", "")))
    use = _use(config["class"]) if decodable else _from_pretrained(config["class"])
    lines = [
        "---",
        "library_name: ebt-bench",
        "tags: [energy-based-model, ebt-bench]",
        "---",
        f"# {model.name}, {result.task}",
        "",
        f"A {config['class']} of {model.parameters:,} parameters, trained for {training.steps:,} "
        f"steps ({training.flops / 1e12:.3g} TFLOPs) on {result.data['corpus']}, embedded by "
        f"{encoder['name']}: {encoder['grid'][0]}x{encoder['grid'][1]} patches of width "
        f"{encoder['dim']}. Training seed {config['seed']}.",
        "",
        f"```python\n{use}\n```",
        "",
        "## Results",
        "",
        *markdown(_results(model)),
        "",
        f"Means with 95 % intervals, over {_seeds(result)}: those of the run. Repeat it with",
        "",
        f"```bash\n{command}   # commit {config['commit']}\n```",
        "",
        "## Limits",
        "",
        f"It has seen {result.data['corpus']} only, at {config['size']}x{config['size']} pixels. "
        "What it does elsewhere is not known. The results compare methods at a small size; they "
        "are no promise of quality.",
        "",
    ]
    return "\n".join(lines)


def _seeds(result: Result) -> str:
    count = len(result.seeds)
    return "one training seed" if count == 1 else f"{count} training seeds, not of this seed alone"


def _use(name: str) -> str:
    """How a model whose encoder leads back to pixels is used."""
    if name in VIDEO_EBTS:
        return (
            'from worldmodel import load\n\nmodel = load("this folder")\n'
            "frame = model.predict(frames)  # [T, 3, height, width] in [0, 1]"
        )
    if name in IMAGE_EBTS:
        return (
            'from denoise import load\n\nmodel = load("this folder")\n'
            "clean = model.denoise(noisy, sigma=25)  # [3, height, width] in [0, 1]"
        )
    return _from_pretrained(name)


def _from_pretrained(name: str) -> str:
    return f'model = {name}.from_pretrained("this folder")'


def _results(model: Model) -> Table:
    header = ["judged on", "setting", "PSNR dB", "SSIM", "Smooth-L1"]
    rows = [
        [
            ", ".join(row.condition.values()),
            row.setting.label,
            interval(row.metrics.get("psnr"), 2),
            interval(row.metrics.get("ssim"), 3),
            interval(row.metrics.get("smooth_l1"), 4),
        ]
        for row in model.rows
        if row.selected and "validation" not in row.condition.values()
    ]
    return header, rows
