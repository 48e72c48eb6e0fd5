from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from data_prep.config import CorpusConfig, EncoderConfig
from data_prep.embed import prepare_embeddings
from data_prep.frames import prepare_frames
from data_prep.shards.format import ShardSet
from data_prep.shards.stream import stream_clips
from worldmodel.data import EmbeddingClips, Scaler, StreamedClips, training_batches


@pytest.fixture(scope="module")
def uneven(balls: Path, tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    """Embeddings of 30 training clips in shards of 20 and 10."""
    cache = tmp_path_factory.mktemp("cache")
    config = CorpusConfig(frames=3, stride=0.7, sources_per_shard=4)
    made = prepare_embeddings(prepare_frames(balls, cache, config), cache, EncoderConfig())
    assert [len(made.shard_samples(name)) for name in made.shards("train")] == [20, 10]
    return made


def keys(shards: ShardSet, **options: int) -> list[str]:
    return [reference.key for reference, _ in stream_clips(shards, "train", **options)]


def test_an_epoch_has_every_clip_once(uneven: ShardSet) -> None:
    expected = sorted(sample.key for sample in uneven.samples("train"))
    assert sorted(keys(uneven)) == expected
    assert sorted(keys(uneven, buffer=1)) == expected


def test_order_differs_by_epoch_and_repeats_by_seed(uneven: ShardSet) -> None:
    assert keys(uneven, epoch=1, seed=3) == keys(uneven, epoch=1, seed=3)
    orders = [keys(uneven, epoch=epoch, seed=seed) for epoch in range(3) for seed in range(3)]
    assert len({tuple(order) for order in orders}) == 9


def test_a_resumed_epoch_goes_on_where_it_stopped(uneven: ShardSet) -> None:
    whole = keys(uneven, epoch=2)
    assert keys(uneven, epoch=2, start=13) == whole[13:]


@pytest.mark.parametrize("ranks", [1, 2, 4, 7])
def test_ranks_do_equal_work_on_different_clips(uneven: ShardSet, ranks: int) -> None:
    shares = [keys(uneven, rank=rank, ranks=ranks) for rank in range(ranks)]
    assert {len(share) for share in shares} == {30 // ranks}
    together = [key for share in shares for key in share]
    assert len(together) == len(set(together))


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_batches_by_the_index_give_ranks_equal_and_exact_epochs(
    uneven: ShardSet, ranks: int
) -> None:
    clips = EmbeddingClips(uneven, "train", Scaler.of(uneven))
    steps = 30 // (5 * ranks) * 2
    batches = [
        [b.keys for b in training_batches(clips, 5, 0, 0, steps, rank, ranks)]
        for rank in range(ranks)
    ]
    assert {len(of_rank) for of_rank in batches} == {steps}
    in_order = [
        key for step in range(steps) for rank in range(ranks) for key in batches[rank][step]
    ]
    first, second = in_order[:30], in_order[30:]
    assert len(set(first)) == len(set(second)) == 30
    assert first != second
    resumed = [b.keys for b in training_batches(clips, 5, 0, 1, steps, ranks - 1, ranks)]
    assert resumed == batches[-1][1:]


@pytest.mark.parametrize("workers", [0, 2])
def test_streamed_clips_are_the_indexed_ones(uneven: ShardSet, workers: int) -> None:
    scaler = Scaler.of(uneven)
    indexed = dict(EmbeddingClips(uneven, "train", scaler)[i] for i in range(30))
    streamed = StreamedClips(uneven, "train", scaler, epoch=0)
    loaded = dict(DataLoader(streamed, batch_size=None, num_workers=workers))
    assert loaded.keys() == indexed.keys()
    assert all(torch.equal(loaded[key], indexed[key]) for key in indexed)


def test_frames_can_be_streamed_too(frame_shards: ShardSet) -> None:
    for reference, members in stream_clips(frame_shards, "test"):
        assert members["frames.npy"] == frame_shards.read(reference, "frames.npy")
