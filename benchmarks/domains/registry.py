"""The domains of the suite, each imported when it is asked for."""

import pkgutil
from pathlib import Path

from benchmarks.domains.contract import Domain
from data_prep.errors import InputError
from data_prep.options import did_you_mean

DOMAINS = {
    "video": "benchmarks.domains.video.domain:Video",
    "image": "benchmarks.domains.image.domain:Image",
}


def load_domain(name: str) -> Domain:
    """The domain of this name.

    Raises:
        InputError: there is none.
    """
    if name not in DOMAINS:
        raise InputError(f"--domain {name}: {did_you_mean(name, list(DOMAINS))}")
    domain: Domain = pkgutil.resolve_name(DOMAINS[name])()
    return domain


def preset_files(domain: str, task: str) -> dict[str, Path]:
    """The preset files of a task in a domain, by name."""
    module = DOMAINS[domain].partition(":")[0]
    folder = Path(str(pkgutil.resolve_name(module).__file__)).parent / "presets" / task
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
