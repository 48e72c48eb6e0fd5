"""Are the places that options name what they should be? Asked before anything heavy is imported."""

from pathlib import Path

from benchmarks.config import Inputs, RunConfig
from data_prep.errors import InputError

RESULTS, MANIFEST = "results.json", "manifest.json"


def require_places(config: object, inputs: Inputs) -> None:
    """Check the folders of data, test sets and a run that is used.

    Raises:
        InputError: one is missing, or holds nothing usable; names its option.
    """
    from data_prep.sources.layouts import list_corpus, list_test_sources

    part = config.task if isinstance(config, RunConfig) else config
    run = getattr(part, "run", None)
    if run is not None:
        require_run(Path(run))
    holder = config.domain if isinstance(config, RunConfig) else config
    sources = holder.sources() if hasattr(holder, "sources") else None
    if sources is None:  # a task or a domain whose data are its own matter
        return
    options, media = sources
    if inputs.data is not None and not _is_set(inputs.data):
        option = f"--data {inputs.data}"
        corpus = list_corpus(str(inputs.data), options, option, media=media)
        if isinstance(config, RunConfig):  # a measurement of preparation needs no splits
            corpus.require_splits(option)
    for name, folder in inputs.test_sets.items():
        if not _is_set(folder):
            list_test_sources(folder, media, f"--test {name}={folder}")


def require_run(folder: Path) -> None:
    """Raise InputError unless a folder holds a finished run."""
    if not (folder / RESULTS).is_file():
        raise InputError(f"{folder}: no {RESULTS}, so no finished run; give the folder of one")


def _is_set(folder: Path) -> bool:
    return (folder / MANIFEST).is_file()
