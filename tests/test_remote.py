"""Sources and sets behind URLs: over HTTP, and in fsspec's own memory as an object store."""

import functools
import http.server
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import fsspec
import pytest

from data_prep.config import CorpusConfig, EncoderConfig, ExecutorConfig
from data_prep.embed import make_embeddings
from data_prep.errors import InputError, RefusedError, StorageError
from data_prep.frames import make_frames
from data_prep.prepare import main
from data_prep.shards.format import ShardSet
from data_prep.shards.storage import Folder, fetched
from data_prep.shards.stream import stream_shard
from data_prep.sources.corpus import SPLITS
from data_prep.sources.layouts import list_corpus
from data_prep.sources.media import IMAGES
from data_prep.verify import find_problems, repair

CONFIG = CorpusConfig(sources_per_shard=4)


@contextmanager
def serving(folder: Path, refused: Mapping[str, int] = MappingProxyType({})) -> Iterator[str]:
    """The files of a folder over HTTP; those `refused` are answered with a status instead."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            status = refused.get(self.path.lstrip("/"))
            super().do_GET() if status is None else self.send_error(status)

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_address[1]}"
        finally:
            running.shutdown()
            thread.join()


@pytest.fixture
def server(balls: Path) -> Iterator[str]:
    """The corpus over HTTP."""
    with serving(balls) as address:
        yield address


@pytest.fixture
def bucket(request: pytest.FixtureRequest) -> str:
    """An empty folder of an object store."""
    return f"memory://bucket-{request.node.name}"


def local_set(corpus: str, out: Path) -> dict[str, bytes]:
    made = make_frames(list_corpus(corpus, CONFIG, ""), str(out), CONFIG, ExecutorConfig())
    assert made is not None
    return {p.name: p.read_bytes() for p in out.iterdir() if p.name != "plan.json"}


def remote_files(bucket: str) -> dict[str, bytes]:
    folder = Folder(bucket)
    return {name: folder.read(name) for name in folder.names() if name != "plan.json"}


def test_sources_over_http_give_the_same_set(
    balls: Path, server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = (balls / "split.csv").read_text().splitlines()[1:]
    lines = "".join(f"{server}/{row}\n" for row in rows)
    lines += f"{server}/videos/train/gone.mp4,train\n"
    (tmp_path / "list.csv").write_text("path,split\n" + lines)
    options = ["--sources-per-shard", "4"]
    assert main(["shards", str(tmp_path / "list.csv"), str(tmp_path / "far"), *options]) == 0
    far = ShardSet(tmp_path / "far")
    assert far.manifest["rejected"] == [{"source": "train/gone.mp4", "reason": "no such file"}]
    assert main(["shards", str(balls), str(tmp_path / "near"), *options]) == 0
    near = ShardSet(tmp_path / "near")
    for split in ("train", "validation", "test"):
        pairs = zip(far.samples(split), near.samples(split), strict=True)
        assert all((far.read_frames(a) == near.read_frames(b)).all() for a, b in pairs)


@pytest.mark.parametrize(
    "name",
    ["a#1.mp4", "a?1.mp4", "a?b.c.mp4", "a?.mp4", "#.mp4", "a%20b.mp4", "100%.mp4", "a b é.mp4"],
)
def test_names_of_any_signs_are_found_over_http(tmp_path: Path, name: str) -> None:
    """As they stand and as URLs write them; one that is missing is missing."""
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / name).write_bytes(b"right")
    with serving(tmp_path) as address:
        for written in (name, urllib.parse.quote(name), f"{urllib.parse.quote(name)}?key=1.5"):
            with fetched(f"{address}/v/{written}") as path:
                assert path.read_bytes() == b"right"
        (tmp_path / "v" / name).unlink()
        with pytest.raises(FileNotFoundError), fetched(f"{address}/v/{name}"):
            pass


def test_lists_over_http_name_files_as_they_are_called(balls: Path, tmp_path: Path) -> None:
    names = ["a#1.mp4", "b?2.mp4", "c%20d.mp4", "e.mp4"]
    for name in names:
        (tmp_path / name).write_bytes((balls / "videos/train/00000.mp4").read_bytes())
    lines = "".join(f"{name};train\n" for name in [*names, "gone#.mp4"])
    (tmp_path / "list.csv").write_text(f"path;split\n{lines}")
    with serving(tmp_path) as address:
        line = ["shards", f"{address}/list.csv", str(tmp_path / "out"), "--workers", "1"]
        assert main(line) == 0
    made = ShardSet(tmp_path / "out")
    used = {s.source for split in ("train", "validation") for s in made.samples(split)}
    assert used == set(names)
    assert made.manifest["rejected"] == [{"source": "gone#.mp4", "reason": "no such file"}]


def test_images_behind_signed_urls_are_recognised(tmp_path: Path) -> None:
    rows = "".join(f"https://host/{n}.png?signature=a{n}\n" for n in range(6))
    (tmp_path / "list.csv").write_text("path\n" + rows)
    assert list_corpus(str(tmp_path / "list.csv"), CONFIG, "").media == IMAGES


def test_a_network_that_is_lost_is_not_blamed_on_the_sources(
    balls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    rows = [f"http://127.0.0.1:9/{n}.mp4,train\n" for n in range(3)]
    (tmp_path / "list.csv").write_text("path,split\n" + "".join(rows))
    assert main(["shards", str(tmp_path / "list.csv"), str(tmp_path / "out")]) == 1
    assert "(4 attempts); what is finished is kept" in capsys.readouterr().err
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_set_in_an_object_store_is_the_local_one(
    balls: Path, bucket: str, tmp_path: Path
) -> None:
    expected = local_set(str(balls), tmp_path / "near")
    corpus = list_corpus(str(balls), CONFIG, "")
    far = make_frames(corpus, bucket, CONFIG, ExecutorConfig())
    assert far is not None
    assert far.folder is None
    assert remote_files(bucket) == expected
    near = ShardSet(tmp_path / "near")
    for one, other in zip(far.samples("train"), near.samples("train"), strict=True):
        assert (far.read_frames(one) == near.read_frames(other)).all()
    streamed = [r.key for name in far.shards("train") for r, _ in stream_shard(far, name)]
    assert streamed == [sample.key for sample in near.samples("train")]
    embeddings = make_embeddings(far, f"{bucket}-e", EncoderConfig(), ExecutorConfig())
    beside = make_embeddings(near, str(tmp_path / "e"), EncoderConfig(), ExecutorConfig())
    assert embeddings is not None
    assert beside is not None
    assert embeddings.manifest == beside.manifest


def test_a_remote_set_is_resumed_verified_and_repaired(
    balls: Path, bucket: str, tmp_path: Path
) -> None:
    corpus = list_corpus(str(balls), CONFIG, "")
    made = make_frames(corpus, bucket, CONFIG, ExecutorConfig())
    assert made is not None
    before = remote_files(bucket)
    files = fsspec.filesystem("memory")
    root = bucket.removeprefix("memory:/")
    files.rm_file(f"{root}/manifest.json")
    files.rm_file(f"{root}/train-000001.tar")
    files.pipe_file(f"{root}/test-000000.tar", b"half an upload")
    with pytest.raises(InputError, match="no finished shard set"):
        ShardSet(bucket)
    assert make_frames(corpus, bucket, CONFIG, ExecutorConfig()) is not None
    assert remote_files(bucket) == before
    data = bytearray(before["train-000000.tar"])
    data[700] ^= 1
    files.pipe_file(f"{root}/train-000000.tar", bytes(data))
    files.pipe_file(f"{root}/train-000077.tar", b"")
    assert sorted(str(problem) for problem in find_problems(ShardSet(bucket))) == [
        "train-000000.tar: altered: its checksum differs from the manifest",
        "train-000077.tar: foreign: not in the manifest",
    ]
    repair(bucket, ExecutorConfig())
    assert remote_files(bucket) == before


def test_an_upload_that_fails_for_a_while_is_tried_again(
    balls: Path, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    working, calls = MemoryFileSystem.put_file, []

    def failing(self: MemoryFileSystem, *arguments: object, **options: object) -> None:
        calls.append(arguments)
        if len(calls) % 3:
            raise ConnectionError("the network is gone")
        working(self, *arguments, **options)

    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr(MemoryFileSystem, "put_file", failing)
    expected = local_set(str(balls), tmp_path / "near")
    corpus = list_corpus(str(balls), CONFIG, "")
    assert make_frames(corpus, bucket, CONFIG, ExecutorConfig()) is not None
    assert remote_files(bucket) == expected
    monkeypatch.setattr(MemoryFileSystem, "put_file", lambda *_, **__: 1 / 0)
    with pytest.raises(StorageError, match=r"division by zero \(4 attempts\)"):
        make_frames(corpus, f"{bucket}-2", CONFIG, ExecutorConfig())


def test_a_file_that_is_refused_is_left_out_alone(balls: Path, tmp_path: Path) -> None:
    names = [f"{n}.mp4" for n in range(4)]
    for name in names:
        (tmp_path / name).write_bytes((balls / "videos/train/00000.mp4").read_bytes())
    lines = "".join(f"{name},train\n" for name in names)
    (tmp_path / "list.csv").write_text(f"path,split\n{lines}")
    refused = {"1.mp4": 403, "2.mp4": 410}
    with serving(tmp_path, refused) as address:
        line = ["shards", f"{address}/list.csv", str(tmp_path / "out"), "--workers", "1"]
        assert main([*line, "--validation-fraction", "0.5"]) == 0
    made = ShardSet(tmp_path / "out")
    assert {s.source for split in SPLITS for s in made.samples(split)} == {"0.mp4", "3.mp4"}
    assert made.manifest["rejected"] == [
        {"source": "1.mp4", "reason": "refused (http 403)"},
        {"source": "2.mp4", "reason": "refused (http 410)"},
    ]


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_wants_a_pause_is_not_blamed_on_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    (tmp_path / "a.mp4").write_bytes(b"right")
    with (
        serving(tmp_path, {"a.mp4": status}) as address,
        pytest.raises(StorageError, match=rf"{status}.*\(4 attempts\)"),
        fetched(f"{address}/a.mp4"),
    ):
        pass


def test_a_refused_list_is_named_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "list.csv").write_text("path\na.mp4\n")
    with serving(tmp_path, {"list.csv": 403}) as address:
        assert main(["shards", f"{address}/list.csv", str(tmp_path / "out")]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "list.csv: cannot be read" in said
    assert "http 403" in said


def test_a_refused_query_is_not_called_a_missing_file(tmp_path: Path) -> None:
    with (
        serving(tmp_path, {"a.mp4?key=old": 403}) as address,
        pytest.raises(RefusedError, match="http 403"),
        fetched(f"{address}/a.mp4?key=old"),
    ):
        pass
