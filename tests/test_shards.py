import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import webdataset

from data_prep.config import CorpusConfig, EncoderConfig
from data_prep.embed import prepare_embeddings
from data_prep.encoders.registry import build_encoder
from data_prep.errors import InputError
from data_prep.frames import prepare_frames
from data_prep.shards.format import Sample, ShardSet, write_shard
from data_prep.shards.storage import Folder
from data_prep.verify import find_problems
from worldmodel.data import EmbeddingClips, Scaler, training_batches


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
