"""Probes of frozen features: linear ones by scikit-learn, and an attentive one."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

BATCH = 128
LEARNING_RATE = 2e-2


@dataclass(frozen=True)
class Probed:
    """What a probe says of each split: scores of classes `[N, classes]`, or numbers `[N]`.

    `validation` is the accuracy, or R², by which its regularisation was selected.
    """

    validation: float
    test: np.ndarray


def linear_probe(
    features: dict[str, np.ndarray],
    values: dict[str, np.ndarray],
    classes: int | None,
    regularisations: Sequence[float],
) -> Probed:
    """Logistic or ridge regression on standardised features `[N, W]`.

    Validation selects the strength of the regularisation.
    """
    found = []
    for strength in regularisations:
        model = (
            Ridge(alpha=strength, solver="svd")
            if classes is None
            else LogisticRegression(C=1 / strength, max_iter=300)
        )
        probe = make_pipeline(StandardScaler(), model)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            probe.fit(features["train"], values["train"])

        def said(split: str, probe: object = probe) -> np.ndarray:
            if classes is None:
                return np.asarray(probe.predict(features[split]))  # type: ignore[attr-defined]
            scores = probe.predict_proba(features[split])  # type: ignore[attr-defined]
            return np.asarray(scores)

        found.append(
            Probed(_quality(said("validation"), values["validation"], classes), said("test"))
        )
    return max(found, key=lambda probed: probed.validation)


class AttentiveProbe(nn.Module):
    """One learned query over the tokens of an item, then a linear layer."""

    def __init__(self, width: int, outputs: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.query = nn.Parameter(torch.zeros(width))
        self.head = nn.Linear(width, outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        """Scores `[B, outputs]` of tokens `[B, L, W]`."""
        tokens = self.norm(tokens)
        weights = (tokens @ self.query / tokens.shape[-1] ** 0.5).softmax(dim=1)  # [B, L]
        scores: Tensor = self.head((weights[..., None] * tokens).sum(dim=1))
        return scores


def attentive_probe(
    tokens: dict[str, Tensor],
    values: dict[str, np.ndarray],
    classes: int | None,
    steps: int,
    decays: Sequence[float],
    seed: int,
) -> Probed:
    """An attentive probe on tokens `[N, L, W]`, the best on validation of all decays and steps.

    Trained by AdamW with a cosine; validated ten times.
    """
    train = tokens["train"].float()
    middle, spread = train.mean((0, 1)), train.std((0, 1)).clamp_min(1e-6)
    mean, std = float(values["train"].mean()), float(values["train"].std()) or 1.0
    found: list[Probed] = []
    for decay in decays:
        generator = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            probe = AttentiveProbe(train.shape[-1], classes or 1).to(train.device)
        optimizer = torch.optim.AdamW(probe.parameters(), lr=LEARNING_RATE, weight_decay=decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)

        def said(split: str, probe: AttentiveProbe = probe) -> np.ndarray:
            with torch.no_grad():
                parts = [
                    probe((part.float() - middle) / spread).cpu()
                    for part in tokens[split].split(BATCH)
                ]
            scores = torch.cat(parts).numpy()
            return scores if classes is not None else scores[:, 0] * std + mean

        target = torch.from_numpy(np.asarray(values["train"])).to(train.device)
        for step in range(1, steps + 1):
            chosen = torch.randint(len(train), (min(BATCH, len(train)),), generator=generator)
            scores = probe((train[chosen] - middle) / spread)
            if classes is None:
                loss = F.mse_loss(scores[:, 0], ((target[chosen] - mean) / std).float())
            else:
                loss = F.cross_entropy(scores, target[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if step % max(1, steps // 10) == 0:
                quality = _quality(said("validation"), values["validation"], classes)
                found.append(Probed(quality, said("test")))
    return max(found, key=lambda probed: probed.validation)


def constant_probe(values: dict[str, np.ndarray], classes: int | None) -> Probed:
    """The commonest classes, or the mean, of training, whatever the item."""
    count = len(values["test"])
    if classes is None:
        said = np.full(count, values["train"].mean())
        quality = np.full(len(values["validation"]), values["train"].mean())
        return Probed(_quality(quality, values["validation"], classes), said)
    shares = np.bincount(values["train"], minlength=classes) / len(values["train"])
    quality = np.tile(shares, (len(values["validation"]), 1))
    return Probed(_quality(quality, values["validation"], classes), np.tile(shares, (count, 1)))


def correct(said: np.ndarray, values: np.ndarray, among: int = 1) -> np.ndarray:
    """Whether the class `[N]` is among the first so many of the scores `[N, classes]`."""
    best = np.argsort(-said, axis=1, kind="stable")[:, :among]
    found: np.ndarray = (best == values[:, None]).any(axis=1).astype(float)
    return found


def _quality(said: np.ndarray, values: np.ndarray, classes: int | None) -> float:
    """Accuracy, or R²."""
    if classes is not None:
        return float(correct(said, values).mean())
    total = float(((values - values.mean()) ** 2).sum())
    return 1 - float(((said - values) ** 2).sum()) / total if total > 0 else 0.0
