"""Find the files of a corpus, and keep account of what is left out."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from data_prep.errors import InputError
from data_prep.shards.storage import is_url, open_url, patiently

TRUTH = ".truth.json"  # what a generator knows of a video, a file beside it
# Folders that systems and programs keep beside files; copies and previews of them lie there.
SYSTEM_FOLDERS = {
    "@eadir",
    "@recycle",
    "@recently-snapshot",
    "#recycle",
    "#snapshot",
    "$recycle.bin",
    "__macosx",
    "__pycache__",
    "lost+found",
    "system volume information",
}
HIDDEN_FOLDERS, HIDDEN_FILES = "hidden or system folders", "hidden files"
NOTHING, UNREADABLE = "links to nothing", "folders that may not be read"
NAMED, KINDS = 3, 8  # names of each kind of what is left out, and kinds, that are shown


@dataclass
class LeftOut:
    """The names of what a corpus leaves out, by kind."""

    names: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, *names: str) -> None:
        """Note names of a kind."""
        if names:
            self.names.setdefault(kind, []).extend(names)

    def add_others(self, files: list[str]) -> None:
        """Note files that are no media, by suffix."""
        for file in files:
            if not file.endswith(TRUTH):
                self.add(PurePosixPath(file).suffix.lower() or "without a suffix", file)

    def __str__(self) -> str:
        parts = []
        most_first = sorted(self.names.items(), key=lambda kind: -len(kind[1]))
        for kind, names in most_first[:KINDS]:
            shown = [_on_a_line(name) for name in names[:NAMED]]
            more = ["..."] if len(names) > NAMED else []
            parts.append(f"{len(names)} {kind} ({', '.join(shown + more)})")
        if rest := sum(len(names) for _, names in most_first[KINDS:]):
            parts.append(f"{rest} of other kinds")
        return "; ".join(parts)


def find_files(root: str, option: str, left_out: LeftOut) -> list[str]:
    """All files below `root`, relative to it (posix), in name order.

    Hidden and system folders are not entered; they, hidden files and dangling links are noted.

    Raises:
        InputError: `root` is missing or no folder; names `option`.
    """
    if is_url(root):
        files, folder = open_url(root)
        found = patiently(lambda: files.find(folder), root)
        names = sorted(name[len(folder) :].lstrip("/") for name in found)
        return [name for name in names if not _hidden(name, left_out)]
    here = Path(root)
    if not here.exists():
        raise InputError(f"{option}: no such file or folder")
    if not here.is_dir():
        raise InputError(f"{option}: give a folder, a csv, tsv or jsonl list, or a shard set")
    return sorted(_below(here, "", (), left_out))


def _below(
    folder: Path, prefix: str, above: tuple[tuple[int, int], ...], left_out: LeftOut
) -> Iterator[str]:
    """The files in a folder and those below it; `above` are the folders on the way to it."""
    status = folder.stat()
    place = (status.st_dev, status.st_ino)
    if place in above:  # a link that leads back up
        return
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        if not prefix:
            raise
        left_out.add(UNREADABLE, prefix.rstrip("/"))
        return
    for name in names:
        path = folder / name
        if os.path.isdir(path):
            if _hides(name):
                left_out.add(HIDDEN_FOLDERS, prefix + name)
            else:
                yield from _below(path, f"{prefix}{name}/", (*above, place), left_out)
        elif name.startswith("."):
            left_out.add(HIDDEN_FILES, prefix + name)
        elif os.path.isfile(path):
            yield prefix + name
        else:
            left_out.add(NOTHING if path.is_symlink() else "no plain files", prefix + name)


def _on_a_line(name: str) -> str:
    """A name as it can be printed: it need not be UTF-8, and may hold signs that part lines."""
    return " ".join(name.encode(errors="replace").decode().split())


def _hides(folder: str) -> bool:
    return folder.startswith(".") or folder.lower() in SYSTEM_FOLDERS


def _hidden(file: str, left_out: LeftOut) -> bool:
    """Whether a file behind a URL is hidden, or lies in a folder that is; this is noted."""
    *folders, name = file.split("/")
    for depth, folder in enumerate(folders, start=1):
        if _hides(folder):
            place = "/".join(folders[:depth])
            if place not in left_out.names.get(HIDDEN_FOLDERS, []):
                left_out.add(HIDDEN_FOLDERS, place)
            return True
    if name.startswith("."):
        left_out.add(HIDDEN_FILES, file)
    return name.startswith(".")
