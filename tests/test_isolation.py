import errno
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from data_prep.decoding.clip import DecodedClip
from data_prep.decoding.isolation import IsolatedReader
from data_prep.errors import DecodeError, StorageError
from data_prep.sources.source import Source

GIGABYTE = 2**30


def source(name: str) -> Source:
    return Source(name, "train", name)


def read(path: Path, source: Source) -> Iterator[DecodedClip]:
    """A reader with every kind of trouble; the source's name says which, after one clip."""
    with path.open("a") as attempts:
        attempts.write("x")
    yield DecodedClip(np.full((2, 3, 4, 3), 7, np.uint8), [0.0, 0.5], 0, "test", "1", 0.25)
    match source.path:
        case "hang":
            time.sleep(60)
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "exit":
            os._exit(3)
        case "memory":
            bytearray(3 * GIGABYTE)
        case "damaged":
            raise DecodeError("damaged: no frame 3")
        case "full":
            raise OSError(errno.ENOSPC, "No space left on device")
        case "missing":
            Path("/nowhere").read_bytes()
        case "once" if len(path.read_text()) == 1:
            os._exit(1)
    process = np.frombuffer(str(os.getpid()).rjust(12).encode(), np.uint8)
    yield DecodedClip(process.reshape(1, 2, 2, 3), [1.0], 1, "test", "1", None)


@pytest.mark.parametrize(
    ("trouble", "reason", "attempts"),
    [
        ("hang", r"hung: no clip for 1 s \(2 attempts\)", 2),
        ("crash", r"decoder crashed \(SIGSEGV\) \(2 attempts\)", 2),
        ("exit", r"decoder ended with exit code 3 \(2 attempts\)", 2),
        ("memory", r"needs more than 1 GiB of memory \(2 attempts\)", 2),
        ("damaged", "^damaged: no frame 3$", 1),
        ("missing", "No such file or directory", 1),
    ],
)
def test_trouble_costs_its_own_source_only(
    trouble: str, reason: str, attempts: int, tmp_path: Path
) -> None:
    limit = 1.0 if trouble == "hang" else 30.0
    with IsolatedReader(read, time_limit=limit, memory_limit=GIGABYTE) as reader:
        with pytest.raises(DecodeError, match=reason):
            reader(tmp_path / "attempts", source(trouble))
        assert len(list(reader(tmp_path / "other", source("good")))) == 2
    assert (tmp_path / "attempts").read_text() == "x" * attempts


def test_a_failure_that_passes_is_tried_again_without_doubling_its_clips(tmp_path: Path) -> None:
    with IsolatedReader(read, time_limit=30, memory_limit=GIGABYTE) as reader:
        first, _ = reader(tmp_path / "attempts", source("once"))
    assert (tmp_path / "attempts").read_text() == "xx"
    assert np.array_equal(first.frames, np.full((2, 3, 4, 3), 7))
    assert (first.times, first.motion, first.decoder_version) == ([0.0, 0.5], 0.25, "1")


def test_a_full_disk_is_not_blamed_on_the_source(tmp_path: Path) -> None:
    with (
        IsolatedReader(read, time_limit=30, memory_limit=GIGABYTE) as reader,
        pytest.raises(StorageError, match="No space left"),
    ):
        reader(tmp_path / "attempts", source("full"))


def test_sources_are_read_in_one_process_that_ends_with_the_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    with IsolatedReader(read, time_limit=30, memory_limit=GIGABYTE) as reader:
        assert not list(scratch.iterdir())  # or one that is killed before it reads would leave it
        clips = [list(reader(tmp_path / "a", source(name)))[1] for name in ("a", "b", "c")]
        assert list(scratch.iterdir())
    assert not list(scratch.iterdir())
    processes = {int(clip.frames.tobytes()) for clip in clips}
    assert len(processes) == 1
    assert os.getpid() not in processes
    with pytest.raises(ProcessLookupError):
        os.kill(processes.pop(), 0)


def test_an_interrupted_reader_gives_up_at_once(tmp_path: Path) -> None:
    with IsolatedReader(read, time_limit=600, memory_limit=GIGABYTE) as reader:

        def interrupt() -> None:
            while not (tmp_path / "attempts").exists():
                time.sleep(0.05)
            reader.interrupt()

        thread = threading.Thread(target=interrupt)
        thread.start()
        started = time.monotonic()
        with pytest.raises(DecodeError, match="interrupted"):
            reader(tmp_path / "attempts", source("hang"))
        assert time.monotonic() - started < 30
        thread.join()
    assert (tmp_path / "attempts").read_text() == "x"


@pytest.mark.parametrize("milliseconds", [0, 1, 2, 5, 20, 100])
def test_a_reader_interrupted_while_its_process_starts_gives_up(
    milliseconds: int, tmp_path: Path
) -> None:
    with IsolatedReader(read, time_limit=600, memory_limit=GIGABYTE) as reader:
        thread = threading.Timer(milliseconds / 1000, reader.interrupt)
        thread.start()
        with pytest.raises(DecodeError, match="interrupted"):
            reader(tmp_path / "attempts", source("hang"))
        thread.join()
