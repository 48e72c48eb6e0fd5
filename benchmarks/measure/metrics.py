"""Quality of predicted embeddings and frames, one value per frame."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

PSNR_CAP = 100.0  # dB; an identical pair would be infinite


def embedding_errors(prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Smooth-L1 (beta 1) and MSE `[B, T]` of scaled embeddings `[B, T, P, D]`."""
    return {
        "smooth_l1": F.smooth_l1_loss(prediction, target, reduction="none").mean((2, 3)),
        "mse": F.mse_loss(prediction, target, reduction="none").mean((2, 3)),
    }


def cosine(prediction: Tensor, target: Tensor) -> Tensor:
    """Cosine similarity `[B, T]` of scaled embeddings `[B, T, P, D]`, a mean over patches."""
    return F.cosine_similarity(prediction, target, dim=3).mean(2)


def frame_quality(prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
    """PSNR in dB, capped at 100, and SSIM of each image `[B, T]`.

    Frames are `[B, T, 3, height, width]`; the prediction is clipped to [0, 1].
    """
    shape = prediction.shape[:2]
    psnr = frame_psnr(prediction, target)
    prediction, target = prediction.clamp(0, 1).flatten(0, 1), target.flatten(0, 1)
    ssim = structural_similarity_index_measure(prediction, target, data_range=1.0, reduction="none")
    assert isinstance(ssim, Tensor)
    return {"psnr": psnr, "ssim": ssim.view(shape)}


def frame_psnr(prediction: Tensor, target: Tensor) -> Tensor:
    """PSNR in dB, capped at 100, of each image `[B, T]` of frames `[B, T, 3, height, width]`."""
    psnr = peak_signal_noise_ratio(
        prediction.clamp(0, 1).flatten(0, 1),
        target.flatten(0, 1),
        data_range=1.0,
        dim=(1, 2, 3),
        reduction="none",
    )
    psnr = torch.nan_to_num(psnr, posinf=PSNR_CAP).clamp_max(PSNR_CAP)
    return psnr.view(prediction.shape[:2])


def frame_sums(prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Squared and absolute errors `[B, T]`, summed over the pixels of a frame.

    Frames are `[B, T, 3, height, width]` in [0, 1]; the prediction is not clipped, and of three
    channels the mean is taken, as where a grey frame has one (OpenSTL, `core/metrics.py`).
    """
    error = prediction - target
    return {
        "frame_mse": error.square().mean(2).sum((2, 3)),
        "frame_mae": error.abs().mean(2).sum((2, 3)),
    }


def pixel_mse(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error `[B]` of images `[B, 3, height, width]`, predictions clipped to [0, 1]."""
    return (prediction.clamp(0, 1) - target).square().mean((1, 2, 3))
