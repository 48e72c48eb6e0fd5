"""Batches of clips by the index: each rank gets its share, and a resumed training the rest."""

from pathlib import Path

import pytest

from data_prep.config import CorpusConfig, EncoderConfig
from data_prep.embed import prepare_embeddings
from data_prep.frames import prepare_frames
from data_prep.shards.format import ShardSet
from worldmodel.data import EmbeddingClips, Scaler, training_batches


@pytest.fixture(scope="module")
def uneven(balls: Path, tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    """Embeddings of 30 training clips in shards of 20 and 10."""
    cache = tmp_path_factory.mktemp("cache")
    config = CorpusConfig(frames=3, stride=0.7, sources_per_shard=4)
    made = prepare_embeddings(prepare_frames(balls, cache, config), cache, EncoderConfig())
    assert [len(made.shard_samples(name)) for name in made.shards("train")] == [20, 10]
    return made


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
