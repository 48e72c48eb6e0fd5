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
    falls on matrices, or on all parameters but those with a rate of their own.
    """
    parameters = [p for p in predictor.parameters() if p.requires_grad]
    matrices = block_matrices(predictor) if config.optimizer == "muon" else []
    own = predictor.rate_multiples()
    apart = {id(p) for p in [*matrices, *(parameter for parameter, _ in own)]}
    others = [p for p in parameters if id(p) not in apart]
    decayed = [p for p in others if p.ndim >= 2 or config.decayed == "all"]
    kept = [p for p in others if p.ndim < 2 and config.decayed == "matrices"]
    groups: list[dict[str, Any]] = [
        {"params": decayed},
        {"params": kept, "weight_decay": 0.0},
        *(
            {"params": [parameter], "weight_decay": 0.0, "lr": learning_rate * multiple}
            for parameter, multiple in own
        ),
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
    return optimizers, [_schedule(optimizer, config, learning_rate) for optimizer in optimizers]


def _schedule(optimizer: Optimizer, config: TrainingConfig, learning_rate: float) -> LambdaLR:
    """Warm-up and cosine of each group, all down to the same rate."""
    multiples = [group["lr"] / learning_rate for group in optimizer.param_groups]
    return LambdaLR(optimizer, [learning_rate_factor(config, multiple) for multiple in multiples])


def block_matrices(predictor: Predictor) -> list[Tensor]:
    """The weights of all linear layers in the predictor's blocks."""
    layers = predictor.blocks.modules() if predictor.blocks is not None else []
    return [layer.weight for layer in layers if isinstance(layer, nn.Linear)]


def learning_rate_factor(config: TrainingConfig, multiple: float = 1.0) -> Callable[[int], float]:
    """The learning rate of a step, as a share of a peak that is a multiple of the model's.

    The cosine ends at a share of the model's own peak. Over `schedule_steps` it begins in the last
    step of the warm-up, as in the published schedule, else in the first step after it.
    """
    first, last = config.warmup_steps, config.steps
    if config.schedule_steps is not None:
        first, last = config.warmup_steps - 1, config.schedule_steps - 1
    final = config.final_learning_rate / multiple

    def factor(step: int) -> float:
        if step < config.warmup_steps:
            return (step + 1) / config.warmup_steps
        done = (step - first) / max(1, last - first)
        cosine = (1 + math.cos(math.pi * min(done, 1.0))) / 2
        return final + (1 - final) * cosine

    return factor
