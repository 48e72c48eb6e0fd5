"""Possible and impossible continuations of clips of the built-in world."""

import io
from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from benchmarks.domains.trials import TRUE, Kind, Standing, Trials
from benchmarks.domains.video.data import VideoData
from data_prep.shards.plan import digest
from data_prep.synthetic.continuations import TRUTH, Continuation, continuations
from worldmodel.data import ordered_batches

BLUR = 1.0  # standard deviation in pixels
JPEG_QUALITY = 30
BLURRED, COMPRESSED, WRONG_VIDEO = "blurred truth", "compressed truth", "wrong video"


def trials(data: VideoData, split: str, batch_size: int, device: str) -> Iterator[Trials]:
    """The clips of a split in batches, with continuations of the last frame but one.

    Every continuation, the true one too, is drawn alike, so that nothing but what its kind says
    tells them apart. Nothing where the corpus does not say what happens in its videos.
    """
    clips, shards = data.clips(split), data.embeddings
    samples = clips.samples
    metadata = [shards.read_metadata(sample) for sample in samples]
    if any("truth" not in entry for entry in metadata):
        return
    drawn = [_drawn(entry, sample.key) for entry, sample in zip(metadata, samples, strict=True)]
    true = [next(one.frame for one in found if one.kind == TRUTH) for found in drawn]
    foreign = _of_other_sources([sample.source for sample in samples])
    done = 0
    for batch in ordered_batches(clips, batch_size):
        own = range(done, done + len(batch.keys))
        done = own.stop
        continued = [
            _embedded(data, drawn[index], None if foreign is None else true[foreign[index]])
            for index in own
        ]
        yield Trials.of(
            batch.to(device).frames(0, -1),
            [{kind: value.to(device) for kind, value in found.items()} for found in continued],
        )


def _drawn(metadata: dict[str, object], key: str) -> list[Continuation]:
    """The continuations of a clip's last frame but one."""
    truth, times = metadata["truth"], metadata["times"]
    assert isinstance(truth, dict)
    assert isinstance(times, list)
    rng = np.random.default_rng(int(digest("continuations", key), 16))
    return list(continuations(truth, times[-2], rng))


def _of_other_sources(sources: list[str]) -> list[int] | None:
    """For each clip another of another video; None where there is one video only."""
    every = np.array(sources)
    if len(set(sources)) < 2:
        return None
    following = [np.roll(np.arange(len(every)), -index) for index in range(len(every))]
    return [int(order[every[order] != every[order[0]]][0]) for order in following]


def _embedded(
    data: VideoData, drawn: list[Continuation], foreign: np.ndarray | None
) -> dict[Kind, Tensor]:
    """Scaled embeddings `[P, D]` of continuations, by kind."""
    frames: dict[Kind, np.ndarray] = {}
    for one in drawn:
        standing = Standing.POSSIBLE if one.possible else Standing.IMPOSSIBLE
        frames[Kind(one.kind, standing, one.degree)] = one.frame
    if foreign is not None:
        frames[Kind(WRONG_VIDEO, Standing.IMPOSSIBLE)] = foreign
    frames[Kind(BLURRED, Standing.DEGRADED)] = _blurred(frames[TRUE])
    frames[Kind(COMPRESSED, Standing.DEGRADED)] = _compressed(frames[TRUE])
    embeddings = data.embedded(np.stack(list(frames.values())))  # [N, P, D]
    return dict(zip(frames, embeddings, strict=True))


def _blurred(frame: np.ndarray) -> np.ndarray:
    size = 2 * int(np.ceil(3 * BLUR)) + 1
    picture = torch.from_numpy(frame).permute(2, 0, 1)
    return gaussian_blur(picture, [size, size], [BLUR, BLUR]).permute(1, 2, 0).numpy()


def _compressed(frame: np.ndarray) -> np.ndarray:
    """The frame `[height, width, 3]` after JPEG."""
    stream = io.BytesIO()
    Image.fromarray(frame).save(stream, "JPEG", quality=JPEG_QUALITY)
    return np.asarray(Image.open(stream).convert("RGB"))
