"""The optimisers of a training and their common schedule."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from worldmodel.config import TrainingConfig
from worldmodel.predictor import Predictor


def make_optimizers(
    predictor: Predictor, config: TrainingConfig, learning_rate: float
) -> tuple[list[Optimizer], list[LambdaLR]]:
    """The optimisers of a predictor, each with warm-up and then a cosine.

    `muon` moves the matrices of the blocks by Muon (Jordan, 2024), scaled so that the same learning
    rate suits both (Liu et al., 2025, section 2.2), and all other parameters by AdamW. Weight decay
    falls on matrices only.
    """
    parameters = [p for p in predictor.parameters() if p.requires_grad]
    matrices = block_matrices(predictor) if config.optimizer == "muon" else []
    orthogonalised = {id(p) for p in matrices}
    others = [p for p in parameters if id(p) not in orthogonalised]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in others if p.ndim >= 2]},
        {"params": [p for p in others if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizers: list[Optimizer] = [
        torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=learning_rate,
            betas=(0.9, config.beta2),
            weight_decay=config.weight_decay,
            fused=True,
        )
    ]
    if matrices:
        optimizers.append(
            torch.optim.Muon(
                matrices,
                lr=learning_rate,
                weight_decay=config.weight_decay,
                adjust_lr_fn="match_rms_adamw",
            )
        )
    return optimizers, [
        LambdaLR(optimizer, learning_rate_factor(config)) for optimizer in optimizers
    ]


def block_matrices(predictor: Predictor) -> list[Tensor]:
    """The weights of all linear layers in the predictor's blocks."""
    layers = predictor.blocks.modules() if predictor.blocks is not None else []
    return [layer.weight for layer in layers if isinstance(layer, nn.Linear)]


def learning_rate_factor(config: TrainingConfig) -> Callable[[int], float]:
    """The learning rate of a step, as a share of its peak."""

    def factor(step: int) -> float:
        if step < config.warmup_steps:
            return (step + 1) / config.warmup_steps
        done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
        cosine = (1 + math.cos(math.pi * min(done, 1.0))) / 2
        return config.final_learning_rate + (1 - config.final_learning_rate) * cosine

    return factor
