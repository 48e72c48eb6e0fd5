import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import webdataset

from data_prep.config import CorpusConfig, EncoderConfig, ExecutorConfig
from data_prep.embed import prepare_embeddings
from data_prep.encoders.registry import build_encoder
from data_prep.errors import InputError
from data_prep.frames import make_frames, prepare_frames
from data_prep.prepare import main
from data_prep.shards.format import Sample, ShardSet, write_shard
from data_prep.shards.storage import Folder
from data_prep.sources.layouts import list_corpus
from data_prep.verify import find_problems
from worldmodel.data import EmbeddingClips, Scaler, training_batches

MANY = CorpusConfig(size=16, sources_per_shard=1)


@pytest.fixture(scope="module")
def many(balls: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of 6, 2 and 3 shards; not to be changed."""
    out = tmp_path_factory.mktemp("many") / "set"
    assert make_frames(list_corpus(str(balls), MANY, ""), str(out), MANY, ExecutorConfig())
    return out


@pytest.fixture
def copy(many: Path, tmp_path: Path) -> Path:
    """A copy of that set, to be changed."""
    return Path(shutil.copytree(many, tmp_path / "set"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def hashes(shards: ShardSet) -> dict[str, bytes]:
    """The set's files; the plan also says where the corpus lies."""
    files = sorted(path for path in shards.folder.iterdir() if path.name != "plan.json")
    return {path.name: path.read_bytes() for path in files}


def copied(shards: ShardSet, folder: Path) -> Path:
    shutil.copytree(shards.folder, folder)
    return folder


def test_the_same_corpus_gives_the_same_bytes(
    balls: Path, frame_shards: ShardSet, tmp_path: Path
) -> None:
    moved = shutil.copytree(balls, tmp_path / "elsewhere")
    again = prepare_frames(moved, tmp_path / "cache", CorpusConfig())
    assert hashes(again) == hashes(frame_shards)
    assert len(hashes(again)) == 8  # a tar and an index per split, manifest and rejected files


def test_frames_and_embeddings_round_trip(
    frame_shards: ShardSet, embedding_shards: ShardSet
) -> None:
    encoder = build_encoder(EncoderConfig(), 32)
    for split in ("train", "validation", "test"):
        pairs = zip(frame_shards.samples(split), embedding_shards.samples(split), strict=True)
        for frame_sample, embedding_sample in pairs:
            assert frame_sample.key == embedding_sample.key
            frames = frame_shards.read_frames(frame_sample)
            assert (frames.shape, frames.dtype) == ((12, 32, 32, 3), np.uint8)
            stored = embedding_shards.read_embeddings(embedding_sample)
            assert stored.dtype == np.float16
            tensor = EmbeddingClips(embedding_shards, split, Scaler.of(embedding_shards))[0]
            assert tensor[1].shape == (12, 16, encoder.dim)


def test_webdataset_reads_the_shards(frame_shards: ShardSet) -> None:
    tar = frame_shards.folder / "train-000000.tar"
    samples = list(webdataset.WebDataset(str(tar), shardshuffle=False))
    references = frame_shards.samples("train")
    assert [sample["__key__"] for sample in samples] == [r.key for r in references]
    metadata = json.loads(samples[0]["json"])
    assert metadata["source"] == "videos/train/00000.mp4"
    assert metadata["decoder"] == "decord"
    assert len(metadata["times"]) == 12


def test_shards_are_written_as_webdataset_writes_them(tmp_path: Path) -> None:
    long = "k" * 120  # longer than the name in a plain header
    samples = [
        Sample("a", "x.mp4", {"json": b"{}", "frames.npy": b"x" * 513}),
        Sample(f"é{long}", "y.mp4", {"json": b"", "emb.safetensors": b"y" * 20_000}),
    ]
    write_shard(Folder(tmp_path), "train-000000", None, samples, dict)
    with webdataset.TarWriter(str(tmp_path / "theirs.tar"), encoder=False, mtime=0) as writer:
        for sample in samples:
            writer.write({"__key__": sample.key, **sample.members})
    ours = (tmp_path / "train-000000.tar").read_bytes()
    assert ours == (tmp_path / "theirs.tar").read_bytes()


def test_keys_that_a_reader_could_mistake_are_refused(tmp_path: Path) -> None:
    for keys in (("a.b",), ("a", "a")):
        samples = [Sample(key, "x.mp4", {"json": b"{}"}) for key in keys]
        with pytest.raises(ValueError, match="has a dot or is not unique"):
            write_shard(Folder(tmp_path), "train-000000", None, samples, dict)
        assert not list(tmp_path.iterdir())


def test_keys_are_unique_and_free_of_dots(frame_shards: ShardSet) -> None:
    keys = [r.key for split in ("train", "validation", "test") for r in frame_shards.samples(split)]
    assert len(keys) == len(set(keys)) == 11
    assert not any("." in key for key in keys)


def test_scaled_training_embeddings_have_zero_mean_and_unit_scale(
    embedding_shards: ShardSet,
) -> None:
    clips = EmbeddingClips(embedding_shards, "train", Scaler.of(embedding_shards))
    values = np.concatenate([clips[i][1].numpy().reshape(-1, 63) for i in range(len(clips))])
    assert np.abs(values.mean(0)).max() < 1e-2
    assert values.std(0).max() > 2 > values.std(0).min()  # one global scale, no whitening
    assert np.sqrt(values.var(0).mean()) == pytest.approx(1, abs=1e-2)


def test_an_unfinished_shard_is_made_again_and_a_finished_one_kept(
    balls: Path, tmp_path: Path
) -> None:
    config = CorpusConfig(sources_per_shard=2)
    first = prepare_frames(balls, tmp_path, config)
    before = hashes(first)
    kept = (first.folder / "train-000000.tar").stat().st_mtime_ns
    (first.folder / "manifest.json").unlink()
    (first.folder / "train-000001.json").unlink()
    tar = first.folder / "train-000002.tar"
    tar.write_bytes(tar.read_bytes()[:10240])  # cut at a member boundary: still a readable tar
    second = prepare_frames(balls, tmp_path, config)
    assert hashes(second) == before
    assert (first.folder / "train-000000.tar").stat().st_mtime_ns == kept


def test_a_changed_video_is_prepared_anew(balls: Path, tmp_path: Path) -> None:
    corpus = shutil.copytree(balls, tmp_path / "corpus")
    first = prepare_frames(corpus, tmp_path / "cache", CorpusConfig())
    shutil.copy(corpus / "videos/train/00001.mp4", corpus / "videos/train/00000.mp4")
    second = prepare_frames(corpus, tmp_path / "cache", CorpusConfig())
    assert second.folder != first.folder
    frames = [second.read_frames(sample) for sample in second.samples("train")[:2]]
    assert np.array_equal(frames[0], frames[1])


def test_bad_files_are_recorded_and_skipped(balls: Path, tmp_path: Path) -> None:
    corpus = shutil.copytree(balls, tmp_path / "corpus")
    (corpus / "videos/train/00000.mp4").write_bytes(b"")
    (corpus / "videos/train/00001.mp4").write_text("no video at all")
    shards = prepare_frames(corpus, tmp_path / "cache", CorpusConfig())
    rejected = {entry["source"]: entry["reason"] for entry in shards.manifest["rejected"]}
    assert sorted(rejected) == ["videos/train/00000.mp4", "videos/train/00001.mp4"]
    assert rejected["videos/train/00000.mp4"] == "empty file"
    assert rejected["videos/train/00001.mp4"].startswith("not a video")
    lines = (shards.folder / "rejected.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == shards.manifest["rejected"]
    assert str(tmp_path) not in (shards.folder / "manifest.json").read_text()
    assert shards.manifest["samples"] == {"train": 4, "validation": 2, "test": 3}


def test_a_corpus_without_a_readable_video_is_an_error(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        (tmp_path / f"{name}.mp4").write_text("not a video")
    with pytest.raises(InputError, match=r"4 of 4 files rejected; the first: .\.mp4: "):
        prepare_frames(tmp_path, tmp_path / "cache", CorpusConfig())


def test_an_altered_or_missing_shard_is_named(frame_shards: ShardSet, tmp_path: Path) -> None:
    folder = copied(frame_shards, tmp_path / "set")
    assert find_problems(ShardSet(folder)) == []
    tar = folder / "test-000000.tar"
    content = bytearray(tar.read_bytes())
    content[700] ^= 1
    tar.write_bytes(content)
    (folder / "train-000000.tar").unlink()
    found = sorted(str(problem) for problem in find_problems(ShardSet(folder)))
    assert found == [
        "test-000000.tar: altered: its checksum differs from the manifest",
        "train-000000.tar: missing",
    ]


def test_a_set_that_cannot_be_read_is_an_error(frame_shards: ShardSet, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no manifest\.json"):
        ShardSet(tmp_path)
    folder = copied(frame_shards, tmp_path / "set")
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"schema_version": 0}))
    with pytest.raises(InputError, match="schema_version 0, this program reads 2"):
        ShardSet(folder)


def test_pickled_frames_are_refused(frame_shards: ShardSet, tmp_path: Path) -> None:
    folder = copied(frame_shards, tmp_path / "set")
    hostile = np.array([{"a": 1}], dtype=object)
    np.save(tmp_path / "hostile.npy", hostile, allow_pickle=True)
    shards = ShardSet(folder)
    sample = shards.samples("test")[0]
    offset, _ = sample.members["frames.npy"]
    data = (tmp_path / "hostile.npy").read_bytes()
    tar = folder / "test-000000.tar"
    content = bytearray(tar.read_bytes())
    content[offset : offset + len(data)] = data
    tar.write_bytes(content)
    with pytest.raises(InputError, match="holds no frames"):
        shards.read_frames(sample)


def test_batches_depend_on_seed_and_step_alone(embedding_shards: ShardSet) -> None:
    clips = EmbeddingClips(embedding_shards, "train", Scaler.of(embedding_shards))
    whole = [batch.keys for batch in training_batches(clips, 4, seed=0, start=0, stop=9)]
    resumed = [batch.keys for batch in training_batches(clips, 4, seed=0, start=5, stop=9)]
    other = [batch.keys for batch in training_batches(clips, 4, seed=1, start=0, stop=9)]
    assert resumed == whole[5:]
    assert other != whole
    flat = [key for keys in whole for key in keys]
    for epoch in range(6):
        assert len(set(flat[epoch * 6 : epoch * 6 + 6])) == 6


def test_embedding_shards_are_reproducible(frame_shards: ShardSet, tmp_path: Path) -> None:
    first = prepare_embeddings(frame_shards, tmp_path / "a", EncoderConfig())
    second = prepare_embeddings(frame_shards, tmp_path / "b", EncoderConfig())
    assert hashes(first) == hashes(second)


def test_verify_names_each_problem_and_repair_mends_just_that(
    many: Path, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(copy)]) == 0
    assert "whole: 11 clips" in capsys.readouterr().out
    before = {path.name: path.stat().st_mtime_ns for path in copy.iterdir()}
    cut = json.loads((copy / "train-000000.json").read_text())
    start, _ = cut["samples"][0]["members"]["json"]
    os.truncate(copy / "train-000000.tar", start - 512)  # a member's end: still a readable tar
    altered = bytearray((copy / "train-000001.tar").read_bytes())
    altered[600] ^= 1
    (copy / "train-000001.tar").write_bytes(altered)
    (copy / "train-000002.tar").unlink()
    for suffix in ("tar", "json"):
        shutil.copy(copy / f"test-000000.{suffix}", copy / f"train-000003.{suffix}")
        shutil.copy(copy / f"test-000000.{suffix}", copy / f"train-000009.{suffix}")
    index = json.loads((copy / "test-000000.json").read_text())
    index["samples"][0]["members"]["json"][0] += 512
    (copy / "test-000000.json").write_text(json.dumps(index))
    (copy / "validation-000000.json").unlink()
    assert main(["verify", str(copy)]) == 1
    told = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] + ":" + line.split(":")[1] for line in told] == [
        "train-000000.tar: truncated",
        "train-000001.tar: altered",
        "train-000002.tar: missing",
        "train-000003.tar: foreign",
        "validation-000000.tar: its index validation-000000.json is missing",
        "test-000000.tar: its index test-000000.json is altered",
        "train-000009.json: foreign",
        "train-000009.tar: foreign",
    ]
    assert main(["verify", str(copy), "--repair"]) == 0
    assert contents(copy) == contents(many)
    after = {path.name: path.stat().st_mtime_ns for path in copy.iterdir()}
    for untouched in ("train-000004.tar", "test-000001.tar", "validation-000001.tar"):
        assert after[untouched] == before[untouched]


def test_a_moved_corpus_is_repaired_from_where_it_lies_now(
    balls: Path, many: Path, copy: Path, tmp_path: Path
) -> None:
    plan = json.loads((copy / "plan.json").read_text())
    (copy / "plan.json").write_text(json.dumps(plan | {"source": str(tmp_path / "gone")}))
    (copy / "train-000001.tar").unlink()
    assert main(["verify", str(copy), "--repair"]) == 2
    assert main(["verify", str(copy), "--repair", "--source", str(balls)]) == 0
    assert contents(copy) == contents(many)


def test_repair_touches_nothing_where_the_sources_are_gone(
    balls: Path, copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.truncate(copy / "train-000000.tar", 100)
    (copy / "notes.txt").write_text("the user's own")
    before = contents(copy)
    (tmp_path / "empty").mkdir()
    for source in (tmp_path / "typo", tmp_path / "empty"):
        assert main(["verify", str(copy), "--repair", "--source", str(source)]) == 2
        assert "say where the sources lie with --source" in capsys.readouterr().err
        assert contents(copy) == before
    corpus = shutil.copytree(balls, tmp_path / "corpus")
    victim = json.loads((copy / "plan.json").read_text())["shards"]["train-000000"][0]["path"]
    (corpus / victim).write_bytes(b"another file")
    assert main(["verify", str(copy), "--repair", "--source", str(corpus)]) == 2
    assert f"{victim}: has changed since" in capsys.readouterr().err
    assert contents(copy) == before


def told_in_one_line(line: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(line) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize("version", [None, 1, 3, "2"])
def test_a_set_of_another_version_is_refused_with_what_to_do(
    version: object, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | {"schema_version": version}))
    (copy / "train-000001.tar").unlink()
    before = contents(copy)
    commands = (["inspect"], ["verify"], ["verify", "--repair"], ["embed", f"{copy}-e"])
    for command, *rest in commands:
        error = told_in_one_line([command, str(copy), *rest], capsys)
        assert f"manifest.json: schema_version {version}, this program reads 2: make" in error
    assert contents(copy) == before


OLD_PLAN = {"kind": "frames", "source": "/videos", "content": {}, "shards": {}, "rejected": []}


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (OLD_PLAN, "a plan of version None, this program reads version 2; make the set anew in"),
        ({**OLD_PLAN, "version": 9}, "a plan of version 9, this program reads version 2; make"),
        ([], "a plan of version None"),
        ({**OLD_PLAN, "version": 2}, "not a plan ("),
        ({**OLD_PLAN, "version": 2, "maker": "frames", "shards": []}, "shards is no dict"),
        ({**OLD_PLAN, "version": 2, "maker": "os"}, "names the maker 'os'; known are frames, "),
    ],
)
def test_a_plan_of_another_form_is_refused_with_what_to_do(
    plan: object,
    message: str,
    balls: Path,
    copy: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (copy / "plan.json").write_text(json.dumps(plan))
    before = contents(copy)
    assert message in told_in_one_line(["verify", str(copy), "--repair"], capsys)
    told_in_one_line(["shards", str(balls), str(copy)], capsys)
    assert contents(copy) == before
    assert main(["verify", str(copy)]) == 0  # what is finished can still be read
