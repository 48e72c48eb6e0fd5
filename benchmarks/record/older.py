"""Results of earlier versions, as those of this version stand."""

from collections.abc import Callable, Iterator

from benchmarks.config import JSON
from benchmarks.former_names import METRICS, RENAMED_IN, renamed
from benchmarks.record.metrics import AHEAD, ENERGIES

OLDER = (4, 5, 6)  # versions that are read all the same
TASKS_BEFORE_6 = {
    "next_frame": ("next_frame", "video"),
    "denoise": ("denoise", "image"),
    "thinking": ("thinking", "video"),
    "thinking/denoise": ("thinking", "image"),
    "scaling": ("scaling", "video"),
    "probe": ("probe", "video"),
    "probe/images": ("probe", "image"),
}
# What thinking found beside rows was rows too before 7: the option that told it, and its list.
KINDS_BEFORE_7 = {
    "stop": "stopping",
    "choice": "choices",
    "doubt": "doubts",
    "foreign": "foreign",
}


def of_older(content: JSON) -> JSON:
    """A result of an earlier version as one of this version."""
    if content["schema_version"] < RENAMED_IN:
        content = _of_5(content)
    return _of_6(content)


def _of_5(content: JSON) -> JSON:
    """A result of version 4 or 5 as one of 6.

    Before 6 a task had a name in each domain. Before 5 comparisons had p-values of one family for
    all of a condition, and there were no verdicts.
    """
    task, domain = TASKS_BEFORE_6.get(content["task"], (content["task"], None))
    data = dict(content.get("data") or {})
    if "ladders" in data:
        data["shifts"] = data.pop("ladders")
    if data.get("places"):
        data.setdefault("main_place", next(iter(data["places"])))
    comparisons = [_without_p(c) for c in content.get("comparisons") or []]
    details = dict(content.get("details") or {})
    if "differences" in details:
        details["differences"] = [_without_p(d) for d in details["differences"]]
    changes = {"comparisons": comparisons, "details": details, "data": data}
    found: JSON = renamed(content | changes | {"task": task, "domain": domain})
    return found


def _without_p(compared: JSON) -> JSON:
    return {name: value for name, value in compared.items() if name not in ("p", "better")}


def _of_6(content: JSON) -> JSON:
    """A result of version 6 as one of 7.

    Before 7 energies along the steps, and the quality of each frame ahead, were metrics of their
    own, with their number in their names; and all that thinking found was rows.
    """
    models = [
        model | {"rows": [_row_of_6(row) for row in model["rows"] if _kind(row) is None]}
        for model in content.get("models") or []
    ]
    changes: JSON = {"models": models}
    if content["task"] == "thinking":
        changes["details"] = {"sets": list(_thinking_of_6(content["models"]))}
    return content | changes


def _row_of_6(row: JSON) -> JSON:
    metrics = _metrics_of_6(row["metrics"])
    series: dict[str, JSON] = {}
    for name in list(metrics):
        stem, _, number = name.rpartition("_")
        if number.isdigit():
            key = ENERGIES if stem == "energy" else f"{stem}{AHEAD}"
            series.setdefault(key, {})[number] = metrics.pop(name)
    ordered = {name: [of[n] for n in sorted(of, key=int)] for name, of in series.items()}
    return row | {"metrics": metrics, "series": ordered}


def _metrics_of_6(metrics: JSON) -> JSON:
    return {METRICS.get(name, name): value for name, value in metrics.items()}


def _kind(row: JSON) -> str | None:
    """What thinking found with a row of version 6; None where it is one of predictions."""
    options = row["setting"]["options"]
    return next((kind for kind in KINDS_BEFORE_7 if kind in options), None)


def _thinking_of_6(models: list[JSON]) -> Iterator[JSON]:
    """What was found of each model on each set."""
    for model in models:
        sets: dict[str, JSON] = {}
        for row in model["rows"]:
            kind = _kind(row)
            if kind is not None:
                name = row["condition"]["samples"]
                empty = {"model": model["name"], "samples": name}
                found = sets.setdefault(name, empty | {n: [] for n in KINDS_BEFORE_7.values()})
                found[KINDS_BEFORE_7[kind]].append(READ_BEFORE_7[kind](row))
        yield from sets.values()


def _stopping(row: JSON) -> JSON:
    options, metrics = row["setting"]["options"], row["metrics"]
    saved = metrics.get("steps_saved")
    return {
        "rule": options["stop"],
        "threshold": options["threshold"],
        "psnr": metrics["psnr"],
        "steps": metrics["mean_steps"],
        "gain": metrics["gain"],
        "saved": saved and saved["mean"],
        "cost": row["cost"] if row["cost"]["flops"] is not None else None,
    }


def _choice(row: JSON) -> JSON:
    options, metrics = row["setting"]["options"], row["metrics"]
    return {
        "source": options["source"],
        "rule": options["choice"],
        "candidates": options["candidates"],
        "steps": row["setting"]["order"],
        "error": metrics["error"],
        "rank": metrics.get("error_rank_candidates"),
        "cost": row["cost"] if row["cost"]["flops"] is not None else None,
    }


def _estimate(row: JSON) -> JSON:
    return {"kind": row["setting"]["label"], "metrics": _metrics_of_6(row["metrics"])}


READ_BEFORE_7: dict[str, Callable[[JSON], JSON]] = {
    "stop": _stopping,
    "choice": _choice,
    "doubt": _estimate,
    "foreign": _estimate,
}
