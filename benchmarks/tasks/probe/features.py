"""Features of items, place by place: what probes see."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from benchmarks.domains.labels import Items, Views
from benchmarks.tasks.probe.result import RAW
from data_prep.sources.corpus import SPLITS
from worldmodel.data import ordered_batches
from worldmodel.predictor import Clips, Predictor

BATCH = 64

Features = dict[str, Tensor]  # split to tokens `[N, L, W]`, in float16


@dataclass(frozen=True)
class RawEmbeddings:
    """The features that no network has touched."""

    def features(self, context: Clips) -> dict[str, Tensor]:
        """The embeddings themselves."""
        return {RAW: context.embeddings}


def read_features(
    model: Predictor | RawEmbeddings, items: Items, views: Views, device: str
) -> Iterator[tuple[str, Features]]:
    """The features of every place under every view, one view in memory at a time."""
    for view, observe in views.items():
        found: dict[str, dict[str, list[Tensor]]] = {}
        for split in SPLITS:
            for stored in ordered_batches(items.clips[split], BATCH):
                clips: Clips = stored.to(device)
                clips = replace(clips, embeddings=clips.embeddings.float())
                for place, features in model.features(observe(clips)).items():
                    tokens = features.flatten(1, 2).half().cpu()  # [B, T * P, W]
                    found.setdefault(place, {}).setdefault(split, []).append(tokens)
        for place, of_split in found.items():
            name = ", ".join(part for part in (place, view) if part)
            yield name, {split: torch.cat(parts) for split, parts in of_split.items()}


def pooled(features: Features) -> dict[str, np.ndarray]:
    """Means over the tokens `[N, W]`."""
    return {split: tokens.float().mean(1).numpy() for split, tokens in features.items()}
