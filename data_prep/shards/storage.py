"""Files on this machine or behind a plain fsspec URL; none is ever seen half written.

Locations are looked up in an allow-list of protocols: no chained URL, no `pipe:`, nothing that
could start a program.
"""

import errno
import hashlib
import json
import os
import re
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import fsspec

from data_prep.errors import InputError, RefusedError, StorageError

PROTOCOLS = ("file", "s3", "s3a", "gs", "gcs", "az", "abfs", "http", "https", "hf", "memory")
URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)(::|://|:)")
ATTEMPTS = 4  # of anything that crosses a network
# The answers of HTTP that blame what is asked for; three of the 4xx mean: ask again later.
REFUSALS = frozenset(range(400, 500)) - {408, 425, 429}
PARTIAL = re.compile(r"\..+\.(?P<host>[^.]+)\.(?P<process>\d+)\.partial$")

Answer = TypeVar("Answer")


def is_url(location: str) -> bool:
    """Whether a location is a URL and not a path.

    Raises:
        InputError: it is a `pipe:`, a chain of URLs, or of a protocol that is not allowed.
    """
    match = URL.match(location)
    if match is None or os.path.exists(location):
        return False
    protocol, separator = match.group(1).lower(), match.group(2)
    if separator == "://" and protocol in PROTOCOLS and "::" not in location:
        return True
    if protocol == "pipe":
        raise InputError(f"{location}: pipe: runs a command; give --allow-pipe if you trust it")
    if separator == ":":
        return False  # a file whose name has a colon
    raise InputError(f"{location}: give a path or one plain URL ({', '.join(PROTOCOLS)})")


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A binary file that appears under `path` only when it is written whole and synced."""
    host = socket.gethostname().split(".")[0]
    temporary = path.with_name(f".{path.name}.{host}.{os.getpid()}.partial")
    try:
        with temporary.open("w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: object) -> None:
    """Write `content` as JSON under a temporary name, then rename."""
    with atomic_file(path) as file:
        file.write(json_bytes(content))


def json_bytes(content: object) -> bytes:
    """JSON bytes in the form of all files of a set."""
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def sha256_of(file: BinaryIO) -> str:
    """The SHA-256 checksum of a file from its current position to its end."""
    digest = hashlib.sha256()
    while block := file.read(2**20):
        digest.update(block)
    return digest.hexdigest()


def absolute(location: str | Path) -> str:
    """A location that means the same from any folder of this machine."""
    text = str(location)
    return text if is_url(text) else str(Path(text).expanduser().resolve())


class Folder:
    """A flat folder of files, on this machine (`path` is set) or behind a URL (`path` is None)."""

    def __init__(self, location: str | Path):
        self.location = str(location)
        self.path = None if is_url(self.location) else Path(self.location).expanduser()
        if self.path is None:
            self._files, self._root = open_url(self.location)

    def __str__(self) -> str:
        return self.location

    def make(self) -> None:
        """Make the folder.

        Raises:
            InputError: it cannot be made.
        """
        if self.path is None:
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.path}: cannot make this folder ({error.strerror})") from None

    def clear(self) -> None:
        """Remove the partial files of writers on this machine that were killed."""
        for file in self.path.glob(".*.partial") if self.path is not None else ():
            if _is_abandoned(file):
                file.unlink(missing_ok=True)

    def sync(self) -> None:
        """Make sure that all renaming so far outlasts a power cut."""
        if self.path is not None:
            descriptor = os.open(self.path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def names(self) -> list[str]:
        """The names of the files in the folder, in order."""
        if self.path is not None:
            return sorted(file.name for file in self.path.iterdir() if file.is_file())
        found = self._patiently(lambda: self._files.ls(self._root, detail=False))
        return sorted(name.rsplit("/", 1)[-1] for name in found)

    def size(self, name: str) -> int | None:
        """The size of a file in bytes, or None if it is not there."""
        if self.path is not None:
            file = self.path / _plain(name)
            return file.stat().st_size if file.is_file() else None
        try:
            return int(self._patiently(lambda: self._files.info(self._url(name)))["size"])
        except FileNotFoundError:
            return None

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        """The bytes of a file from `start` to before `stop`.

        Raises:
            FileNotFoundError: there is no such file.
            StorageError: the network fails for good.
        """
        if self.path is not None:
            with (self.path / _plain(name)).open("rb") as file:
                file.seek(start)
                return file.read() if stop is None else file.read(stop - start)
        url = self._url(name)
        whole = start == 0 and stop is None
        limits = {} if whole else {"start": start, "end": stop}
        data: bytes = self._patiently(lambda: self._files.cat_file(url, **limits))
        return data

    def open(self, name: str) -> BinaryIO:
        """A file to read from front to end."""
        if self.path is not None:
            return (self.path / _plain(name)).open("rb")
        file: BinaryIO = self._patiently(lambda: self._files.open(self._url(name), "rb"))
        return file

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """A file that appears under `name` only when it is whole.

        A remote one is written here and then sent; readers trust a shard only by its index,
        which is sent after it.
        """
        if self.path is not None:
            with atomic_file(self.path / _plain(name)) as file:
                yield file
            return
        with tempfile.TemporaryDirectory(prefix="ebt-bench-") as scratch:
            file_here = Path(scratch) / "file"
            with file_here.open("w+b") as file:
                yield file
            self._patiently(lambda: self._files.put_file(str(file_here), self._url(name)))

    def write(self, name: str, content: bytes) -> None:
        """Write a file at once; one with the same content already is left alone."""
        try:
            if self.read(name) == content:
                return
        except FileNotFoundError:
            pass
        with self.writing(name) as file:
            file.write(content)

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""
        if self.path is not None:
            (self.path / _plain(name)).unlink(missing_ok=True)
        elif self.size(name) is not None:
            self._patiently(lambda: self._files.rm_file(self._url(name)))

    def sha256(self, name: str) -> str:
        """The SHA-256 checksum of a file."""
        with self.open(name) as file:
            return sha256_of(file)

    def _url(self, name: str) -> str:
        return f"{self._root}/{_plain(name)}"

    def _patiently(self, call: Callable[[], Answer]) -> Answer:
        return patiently(call, self.location)


def open_url(location: str) -> tuple[Any, str]:
    """The file system of a URL and the path in it.

    Raises:
        InputError: the protocol is not allowed, or its package is not installed.
    """
    if not is_url(location):
        raise InputError(f"{location}: not a URL")
    try:
        files, path = fsspec.core.url_to_fs(location)
    except (ImportError, ValueError) as error:
        raise InputError(f"{location}: {error}") from None
    return files, path.rstrip("/")


def patiently(call: Callable[[], Answer], location: str) -> Answer:
    """The result of a call over a network, which is tried again with growing pauses.

    Raises:
        FileNotFoundError, PermissionError: at once; waiting does not help.
        RefusedError: at once; HTTP answers with one of REFUSALS.
        StorageError: all attempts failed.
    """
    for attempt in range(ATTEMPTS):
        try:
            return call()
        except (FileNotFoundError, PermissionError):
            raise
        except Exception as error:  # each protocol brings its own
            if _refuses(error):
                status = f"http {error.status}"  # type: ignore[attr-defined]
                raise RefusedError(errno.EACCES, status, location) from None
            if attempt == ATTEMPTS - 1:
                reason = " ".join(str(error).split()) or type(error).__name__
                raise StorageError(
                    f"{location}: {reason[:200]} ({ATTEMPTS} attempts); what is finished is kept: "
                    "run the same command again"
                ) from None
            time.sleep(2**attempt / 4)
    raise AssertionError("unreachable")


@contextmanager
def fetched(location: str) -> Iterator[Path]:
    """A local path to a file; a file behind a URL is copied here while the context lasts.

    Raises:
        FileNotFoundError: there is no such file.
        RefusedError: a server does not give it.
        StorageError: the network fails for good.
    """
    if not is_url(location):
        yield Path(location)
        return
    files, path = open_url(location)
    with tempfile.TemporaryDirectory(prefix="ebt-bench-") as scratch:
        # The name comes from outside: only its suffix is used.
        suffix = re.sub(r"[^A-Za-z0-9.]", "", Path(path).suffix)
        copy = Path(scratch) / f"file{suffix}"
        patiently(lambda: _copy(files, _readings(path), copy), location)
        yield copy


def _refuses(error: Exception) -> bool:
    return getattr(error, "status", None) in REFUSALS


def _copy(files: Any, urls: list[str], copy: Path) -> None:
    """Copy the first of some URLs that is there and may be read."""
    failures: list[Exception] = []
    for url in urls:
        try:
            files.get_file(url, str(copy))
            return
        except Exception as error:
            if not (isinstance(error, FileNotFoundError) or _refuses(error)):
                raise
            failures.append(error)
    # A file that is refused is there: this says more than that a wrong reading of it is missing.
    raise min(failures, key=lambda error: isinstance(error, FileNotFoundError))


def _readings(path: str) -> list[str]:
    """What a path may mean, the likeliest first: over HTTP it is a URL, or holds a plain file name.

    In a URL `#` starts what is never sent, `?` a query, and `%20` is a space; a file's name may
    hold them all.
    """
    if not path.startswith(("http://", "https://")):
        return [path]
    start, slashes, rest = path.partition("://")
    host, slash, name = rest.partition("/")
    plain = f"{start}{slashes}{host}{slash}" + name.replace("%", "%25").replace("?", "%3F").replace(
        "#", "%23"
    )
    url = path.replace("#", "%23")
    before, query, _ = name.partition("?")
    readings = [plain, url] if query and not Path(before).suffix else [url, plain]
    return list(dict.fromkeys(readings))


def _plain(name: str) -> str:
    if "/" in name or "\\" in name or name in ("", ".", ".."):
        raise InputError(f"{name!r} is no plain file name")
    return name


def _is_abandoned(file: Path) -> bool:
    """Whether the process that wrote a partial file is gone; files of other machines stay a day."""
    match = PARTIAL.match(file.name)
    if match is None:
        return False
    if match["host"] != socket.gethostname().split(".")[0]:
        return time.time() - file.stat().st_mtime > 24 * 3600
    try:
        os.kill(int(match["process"]), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False
