"""The models that a command line adds to those of a domain, before its options are parsed."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.domains.contract import Domain
from benchmarks.models import add_models, entry_points
from benchmarks.training.pretrained import absolute, add_checkpoints
from data_prep.errors import InputError
from data_prep.options import values_of


def add_all(domain: Domain, arguments: list[str], resumed: Path | None) -> None:
    """Add the models that the command line names, and those of installed packages.

    The code of a model is never loaded because a file names it; weights are, since they are no
    code.

    Raises:
        InputError: a resumed run has a model of the user's own that is not named again.
    """
    places = values_of(arguments, "--model")
    installed = entry_points(domain.entry_points)
    for place in _listed([resumed] if resumed is not None else [], "model"):
        if place not in places:
            raise InputError(f"--resume: the run has the model {place}: give --model {place} again")
    taken = [name for spec in domain.declared for name in (spec.name, spec.section)]
    add_models(domain.name, [*installed, *places], taken)
    files = [*map(Path, values_of(arguments, "--config")), *([resumed] if resumed else [])]
    given = [*_listed(files, "checkpoint"), *values_of(arguments, "--checkpoint")]
    pairs = list(dict.fromkeys(map(absolute, given)))
    add_checkpoints(domain.name, pairs, domain.declared, domain.files_of_others)


def _listed(files: Sequence[Path], option: str) -> list[str]:
    """What files of options list under an option; broken files are reported when parsed."""
    import yaml

    found: list[str] = []
    for file in files:
        try:
            found += [str(entry) for entry in yaml.safe_load(file.read_text()).get(option) or []]
        except (OSError, yaml.YAMLError, AttributeError, TypeError):
            continue
    return found
