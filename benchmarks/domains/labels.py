"""Labelled clips and images, and what a model observes of them."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor

from benchmarks.config import JSON
from data_prep.encoders.base import Encoder
from data_prep.errors import InputError
from data_prep.shards.format import SampleReference, ShardSet
from data_prep.sources.corpus import SPLITS
from data_prep.sources.folder import split_folder
from data_prep.synthetic.balls import labels_of
from denoise.data import NoisyImages
from denoise.diffusion import diffuse, signal_and_noise
from worldmodel.data import EmbeddingClips, Scaler
from worldmodel.noise import Stream, noise_like
from worldmodel.predictor import Clips

LABEL = "label"
DIGITS = "digits"
SHARES = (0.6, 0.2)  # of the digits, for training and validation

# What a model observes of an item, by the name of the view.
Views = dict[str, Callable[[Clips], Clips]]


@dataclass(frozen=True)
class Label:
    """What a probe has to find: a class, or a number; values `[N]` by split."""

    name: str
    classes: int | None  # None for a number
    values: dict[str, np.ndarray]


@dataclass(frozen=True)
class Items:
    """Clips or images of one corpus with their labels; sources are the independent samples.

    Without labels, `missing` says why there are none.
    """

    name: str
    clips: dict[str, EmbeddingClips]
    sources: dict[str, list[str]]
    labels: list[Label]
    missing: str | None = None


class KnownClips(EmbeddingClips):
    """Clips `[N, T, P, D]` that are in memory."""

    def __init__(self, embeddings: Tensor, keys: Sequence[str]):
        self.embeddings, self.keys = embeddings, list(keys)
        dim = embeddings.shape[-1]
        self.scaler = Scaler(torch.zeros(dim), torch.ones(dim))

    def __len__(self) -> int:
        return len(self.keys)

    def stored(self, index: int) -> tuple[str, Tensor]:
        """Key and embeddings `[T, P, D]` of a clip."""
        return self.keys[index], self.embeddings[index]

    def collate(self, samples: list[tuple[str, Tensor]]) -> Clips:
        """A batch, as it is."""
        keys, clips = zip(*samples, strict=True)
        return Clips(torch.stack(clips), list(keys))


def labelled(
    name: str, frames: ShardSet, clips: Mapping[str, EmbeddingClips], most: int | None
) -> Items:
    """At most so many items of each split, with every label that all of them have.

    `frames` holds the metadata of the clips, which may know more of them than their samples.
    """
    chosen = {split: of_split.some(most) for split, of_split in clips.items()}
    folders = _class_folders(s.source for split in SPLITS for s in clips[split].samples)
    known = {
        split: [_labels(frames, sample, folders[sample.source]) for sample in of_split.samples]
        for split, of_split in chosen.items()
    }
    names = [set(labels) for split in SPLITS for labels in known[split]]
    shared = sorted(set.intersection(*names)) if names else []
    labels = [
        _label(label, {s: [one[label] for one in known[s]] for s in SPLITS}) for label in shared
    ]
    sources = {split: [s.source for s in of_split.samples] for split, of_split in chosen.items()}
    found = [label for label in labels if label is not None]
    classes = {one[LABEL] for of_split in known.values() for one in of_split if LABEL in one}
    return Items(name, chosen, sources, found, None if found else _missing(classes))


def _missing(classes: set[object]) -> str:
    """Why there is no label to find, where items are of these classes."""
    if len(classes) == 1:
        return f"its only class is {next(iter(classes))}; a probe needs at least two"
    some = "only some of its items have labels" if classes else "no labels"
    return (
        f"{some}: give videos or images in a folder for each class, a list with a column label, or "
        "an official layout"
    )


def digits(encoder: Encoder, size: int, most: int | None) -> Items:
    """The handwritten digits of scikit-learn as images of this size: real, and with labels."""
    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))
    ends = (np.cumsum(SHARES) * len(order)).astype(int)
    parts = dict(zip(SPLITS, np.split(order, ends), strict=True))
    if most is not None:
        parts = {split: part[:most] for split, part in parts.items()}
    pixels = torch.from_numpy(found.images).float()[:, None] / 16  # [N, 1, 8, 8]
    pixels = F.interpolate(pixels, size=(size, size), mode="bicubic").clamp(0, 1)
    embeddings = encoder.encode(pixels.expand(-1, 3, -1, -1))[:, None]  # [N, 1, P, D]
    keys = {split: [f"digit-{index:04d}" for index in part] for split, part in parts.items()}
    return Items(
        DIGITS,
        {split: KnownClips(embeddings[part], keys[split]) for split, part in parts.items()},
        keys,
        [Label("digit", 10, {split: found.target[part] for split, part in parts.items()})],
    )


def _class_folders(sources: Iterable[str]) -> dict[str, str]:
    """The innermost folder of each source, or ""; a folder that gives the split is no class.

    Folders give the splits where several splits have one. A single `train` may be a class.
    """
    named = {source: split_folder(source) for source in sources}
    deciding = len({found[1] for found in named.values() if found}) > 1
    classes = {}
    for source, found in named.items():
        folders = list(PurePosixPath(source).parent.parts)
        if deciding and found:
            folders.remove(found[0])
        classes[source] = folders[-1] if folders else ""
    return classes


def _labels(frames: ShardSet, sample: SampleReference, folder: str) -> JSON:
    """All that is known of a clip that lies in this folder of its class, by name."""
    metadata = frames.read_metadata(sample)
    truth = metadata.get("truth")
    if isinstance(truth, dict):
        return labels_of(truth, metadata["times"]) if "positions" in truth else truth
    label = metadata.get(LABEL) or folder
    return {LABEL: label} if label else {}


def _label(name: str, values: dict[str, list[Any]]) -> Label | None:
    """A label; None where it says nothing, or training lacks a class of the other splits.

    Raises:
        InputError: training lacks a class of the user's own label.
    """
    if all(isinstance(value, float) for part in values.values() for value in part):
        if np.ptp(values["train"]) == 0:
            return None
        return Label(name, None, {split: np.array(part) for split, part in values.items()})
    classes = sorted(Counter(values["train"]), key=str)
    number = {label: index for index, label in enumerate(classes)}
    missing = sorted({v for part in values.values() for v in part} - set(number), key=str)
    if missing and name == LABEL:
        raise InputError(
            f"label: no training item of {', '.join(map(str, missing))}, which the other splits "
            "have; add some, or leave the class out"
        )
    if len(classes) < 2 or missing:
        return None
    found = {split: np.array([number[v] for v in part]) for split, part in values.items()}
    return Label(name, len(classes), found)


def whole_clips() -> Views:
    """Clips as they are."""
    return {"": lambda clips: clips}


def noisy_images(steps: list[int], seed: int) -> Views:
    """Images with noise of these diffusion steps, the same for every model."""

    def view(step: int) -> Callable[[Clips], Clips]:
        def observed(clips: Clips) -> Clips:
            clean = clips.embeddings
            noise = noise_like(clean, clips.keys, Stream.CORRUPTION, seed)
            noisy = diffuse(clean, torch.tensor([step], device=clean.device), noise)
            return NoisyImages(noisy, clips.keys, step, signal_and_noise(step)[0])

        return observed

    return {f"t = {step}": view(step) for step in steps}
