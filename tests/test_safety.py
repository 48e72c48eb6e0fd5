"""Hostile input: nothing that is read runs code, leaves the output folder or reaches a shell."""

import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest
import safetensors.numpy

from data_prep.config import CorpusConfig, ExecutorConfig
from data_prep.errors import InputError
from data_prep.frames import make_frames
from data_prep.prepare import main
from data_prep.shards.format import FRAMES, METADATA, ShardSet
from data_prep.shards.storage import Folder
from data_prep.shards.stream import open_shard, read_tar
from data_prep.sources.layouts import list_corpus


class Bomb:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self) -> tuple:
        return (os.system, (f"touch '{self.mark}'",))


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[Path]:
    """A file that no test may make."""
    yield tmp_path / "mark"
    assert not (tmp_path / "mark").exists()


def tar_of(members: dict[str, bytes], kind: bytes = tarfile.REGTYPE) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(data), kind, "/etc/passwd"
            tar.addfile(info, io.BytesIO(data))
    buffer.seek(0)
    return buffer


def with_member(shards: ShardSet, folder: Path, suffix: str, data: bytes) -> ShardSet:
    """A copy of a set whose first test clip has `data` as a member, index and manifest agreeing."""
    copy = Path(shutil.copytree(shards.folder, folder))
    tar, index_file = copy / "test-000000.tar", copy / "test-000000.json"
    index = json.loads(index_file.read_text())
    place = tar.stat().st_size
    with tar.open("ab") as file:
        file.write(data)
    index["samples"][0]["members"][suffix] = [place, len(data)]
    index["bytes"] = place + len(data)
    index_file.write_text(json.dumps(index))
    return ShardSet(copy)


@pytest.mark.parametrize("suffix", ["pyd", "pickle", "pkl", "pth", "pt", "cls", "ten", "sh", "npz"])
def test_members_that_could_run_are_refused(mark: Path, suffix: str) -> None:
    stream = tar_of({"a.json": b"{}", f"a.{suffix}": pickle.dumps(Bomb(mark))})
    with pytest.raises(InputError, match=rf"clip 'a' has a member \.{suffix}, which no"):
        list(read_tar(stream, "hostile.tar"))


def test_names_in_a_shard_lead_nowhere(
    tmp_path: Path, mark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["../mark.json", str(mark) + ".json", "a/../../mark.json", f"$(touch {mark}).json"]
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    found = list(read_tar(tar_of(dict.fromkeys(names, b"{}")), "hostile.tar"))
    assert {members["json"] for _, members in found} == {b"{}"}
    assert list(tmp_path.rglob("*")) == [tmp_path / "inner"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_pipes_in_a_shard_are_not_followed(kind: bytes) -> None:
    assert list(read_tar(tar_of({"a.json": b""}, kind), "hostile.tar")) == []


@pytest.mark.parametrize("content", [b"", b"x" * 5000, b"\x1f\x8b" + b"\0" * 600])
def test_what_is_no_tar_is_an_error(content: bytes) -> None:
    with pytest.raises(InputError, match="not a shard"):
        list(read_tar(io.BytesIO(content), "hostile.tar"))


def test_pickles_in_frames_and_embeddings_are_not_read(
    frame_shards: ShardSet, embedding_shards: ShardSet, tmp_path: Path, mark: Path
) -> None:
    hostile = io.BytesIO()
    np.save(hostile, np.array([[[[Bomb(mark)]]]], dtype=object), allow_pickle=True)
    shards = with_member(frame_shards, tmp_path / "a", FRAMES, hostile.getvalue())
    with pytest.raises(InputError, match=r"frames\.npy holds no frames \(object"):
        shards.read_frames(shards.samples("test")[0])
    for data in (pickle.dumps(Bomb(mark)), b"", b"\xff" * 64):
        folder = tmp_path / str(len(data))
        shards = with_member(embedding_shards, folder, "emb.safetensors", data)
        with pytest.raises(InputError, match="holds no embeddings"):
            shards.read_embeddings(shards.samples("test")[0])


@pytest.mark.parametrize(
    "shape", ["(9999999, 9999999, 9, 3)", "(-1, 2, 2, 3)", "(2, 2)", "__import__('os')"]
)
def test_headers_that_lie_about_shapes_cost_nothing(
    frame_shards: ShardSet, tmp_path: Path, shape: str
) -> None:
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
    shards = with_member(frame_shards, tmp_path / "set", FRAMES, data)
    with pytest.raises(InputError, match="holds no frames"):
        shards.read_frames(shards.samples("test")[0])


def test_embeddings_of_another_shape_or_type_are_refused(
    embedding_shards: ShardSet, tmp_path: Path
) -> None:
    for number, array in enumerate((np.zeros((2, 3), np.float16), np.zeros((1, 2, 3), np.int64))):
        data = safetensors.numpy.save({"embeddings": array})
        shards = with_member(embedding_shards, tmp_path / str(number), "emb.safetensors", data)
        with pytest.raises(InputError, match="holds no embeddings"):
            shards.read_embeddings(shards.samples("test")[0])


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "train-0", "pipe:touch x", 3])
def test_a_manifest_cannot_name_other_files(
    frame_shards: ShardSet, tmp_path: Path, name: object
) -> None:
    copy = Path(shutil.copytree(frame_shards.folder, tmp_path / "set"))
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["shards"][0]["name"] = name
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="is no name of a shard"):
        ShardSet(copy)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": None},
        {"arguments": {}},
        {"samples": {}},
        {"rejected": None},
        {"shards": [{"name": "test-000000", "split": "test", "samples": 1, "sha256": ""}]},
        {"shards": [3]},
    ],
)
def test_a_manifest_that_lacks_something_is_an_error(
    frame_shards: ShardSet, tmp_path: Path, change: dict
) -> None:
    copy = Path(shutil.copytree(frame_shards.folder, tmp_path / "set"))
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | change))
    with pytest.raises(InputError, match="broken"):
        ShardSet(copy)


@pytest.mark.parametrize("place", [[-512, 10], [0, 10**15], ["a", 1], [0]])
def test_an_index_cannot_point_outside_its_shard(
    frame_shards: ShardSet, tmp_path: Path, place: list
) -> None:
    copy = Path(shutil.copytree(frame_shards.folder, tmp_path / "set"))
    index = json.loads((copy / "test-000000.json").read_text())
    index["samples"][0]["members"][METADATA] = place
    (copy / "test-000000.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match="index missing or broken"):
        ShardSet(copy).samples("test")


@pytest.mark.parametrize("name", ["../x", "a/b", "..", "", "a\\b"])
def test_folders_write_plain_names_only(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="no plain file name"):
        Folder(tmp_path / "out").write(name, b"x")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "location",
    [
        "pipe:touch {mark}",
        "PIPE:touch {mark}",
        "simplecache::pipe:touch {mark}",
        "filecache::s3://bucket/x",
        "github://a:b@main/x",
        "python://x",
        "zip://x::pipe:touch {mark}",
    ],
)
def test_no_location_starts_a_program(location: str, mark: Path, tmp_path: Path) -> None:
    hostile = location.format(mark=mark)
    for use in (
        lambda: ShardSet(hostile),
        lambda: list_corpus(hostile, CorpusConfig(), "--data"),
        lambda: list_corpus(hostile + ".csv", CorpusConfig(), "--data"),
        lambda: open_shard(hostile),
        lambda: open_shard(hostile + ".tar"),
    ):
        with pytest.raises(InputError):
            use()


def test_a_pipe_runs_only_when_it_is_allowed(
    frame_shards: ShardSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shard, ran = frame_shards.folder / "test-000000.tar", tmp_path / "ran"  # type: ignore[operator]
    line = ["inspect", f"pipe:touch '{ran}'; cat '{shard}'"]
    assert main(line) == 2
    assert "pipe: runs a command; give --allow-pipe" in capsys.readouterr().err
    assert not ran.exists()
    assert main([*line, "--allow-pipe"]) == 0
    assert capsys.readouterr().out.startswith("test-000000-000000: ")
    assert ran.exists()


def test_names_of_videos_never_reach_a_shell(balls: Path, tmp_path: Path, mark: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    video = next((balls / "videos" / "train").glob("*.mp4"))
    names = [f"$(touch mark){i}.mp4" for i in range(3)] + ["; touch mark;.mp4", "`touch mark`.mp4"]
    for name in names:
        shutil.copy(video, corpus / name)
    done = subprocess.run(
        [sys.executable, "-m", "data_prep.prepare", "shards", str(corpus), str(tmp_path / "out")],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0
    used = {
        s.source
        for k in ("train", "validation", "test")
        for s in ShardSet(tmp_path / "out").samples(k)
    }
    assert used == set(names)
    assert {path.name for path in tmp_path.iterdir()} == {"corpus", "out"}


def test_a_plan_read_from_disk_cannot_name_other_files(
    frame_shards: ShardSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(frame_shards.folder, tmp_path / "set"))
    plan = json.loads((copy / "plan.json").read_text())
    plan["shards"] = {"../escaped": plan["shards"]["test-000000"]}
    (copy / "plan.json").write_text(json.dumps(plan))
    (copy / "manifest.json").unlink()
    assert main(["verify", str(copy), "--repair"]) == 2
    assert "escaped" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"set"}


def test_a_remote_list_cannot_lead_out_of_its_corpus() -> None:
    """A list fetched from afar may not lead out of its corpus."""
    fsspec.filesystem("memory").pipe_file("/corpus/list.csv", b"path\n../../etc/passwd\n")
    with pytest.raises(InputError, match=r"a path with \.\. leaves the corpus"):
        list_corpus("memory://corpus/list.csv", CorpusConfig(), "--data")


def test_make_frames_refuses_an_output_that_is_a_command(balls: Path) -> None:
    corpus = list_corpus(str(balls), CorpusConfig(), "--data")
    with pytest.raises(InputError, match="pipe: runs a command"):
        make_frames(corpus, "pipe:cat > x", CorpusConfig(), ExecutorConfig())
