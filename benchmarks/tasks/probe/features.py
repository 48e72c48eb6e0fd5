"""Features of items, place by place: what probes see."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from benchmarks.tasks.probe.found import RAW
from benchmarks.tasks.probe.items import Items
from data_prep.sources.corpus import SPLITS
from denoise.data import NoisyImages
from denoise.diffusion import diffuse, signal_and_noise
from worldmodel.data import ordered_batches
from worldmodel.noise import Stream, noise_like
from worldmodel.predictor import Clips, Predictor

BATCH = 64

# What a model observes of an item, by the name of the view.
Views = dict[str, Callable[[Clips], Clips]]
Features = dict[str, Tensor]  # split to tokens `[N, L, W]`, in float16


@dataclass(frozen=True)
class RawEmbeddings:
    """The features that no network has touched."""

    def features(self, context: Clips) -> dict[str, Tensor]:
        """The embeddings themselves."""
        return {RAW: context.embeddings}


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
