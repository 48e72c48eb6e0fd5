"""An energy trained by contrast knows several futures; squared error knows their mean alone."""

import pytest
import torch
from torch import Tensor

from baselines.config import ContrastiveConfig
from baselines.contrastive import ContrastiveEBT
from worldmodel.config import BackboneConfig, EBTConfig
from worldmodel.next_frame import NextFrameEBT
from worldmodel.predictor import Clips

BACKBONE, GRID, DIM = BackboneConfig(layers=1, heads=1, width=16), (1, 2), 4
MODE = torch.tensor([1.0, -1.0, 1.0, 1.0]).repeat(2, 1)  # [P, D]
STEPS, BATCH, FRAMES = 120, 16, 3


def two_modes(seed: int) -> Clips:
    """Clips whose every frame is the mode or its opposite, by chance."""
    drawn = torch.randint(
        0, 2, (BATCH, FRAMES, 1, 1), generator=torch.Generator().manual_seed(seed)
    )
    return Clips((2 * drawn - 1) * MODE, [f"{seed}-{clip}" for clip in range(BATCH)])


def energies_of(model: NextFrameEBT, candidates: Tensor) -> Tensor:
    """Energies `[N]` of candidates `[N, P, D]` after a context."""
    context, count = two_modes(1000), len(candidates)
    every = candidates.expand(BATCH, FRAMES, count, *MODE.shape)
    return model.verify(context, every).sum(-1).mean((0, 1))


def trained(model: NextFrameEBT, rate: float, steps: int = STEPS) -> NextFrameEBT:
    """The model after steps of Adam."""
    optimizer = torch.optim.Adam(model.parameters(), rate)
    for step in range(steps):
        optimizer.zero_grad()
        for loss in model.training_losses(two_modes(step), step):
            loss.backward()
        optimizer.step()
    return model.eval()


def contrastive(**options: float | str) -> ContrastiveEBT:
    torch.manual_seed(0)
    return ContrastiveEBT(ContrastiveConfig(samples=2, **options), BACKBONE, GRID, DIM)


@pytest.mark.parametrize("contrast", ["info_nce", "nce"])
def test_contrast_ranks_both_modes_above_their_mean(contrast: str) -> None:
    model = trained(contrastive(contrast=contrast, descent_weight=0.0), 1e-2)
    mode, opposite, mean = energies_of(model, torch.stack([MODE, -MODE, 0 * MODE]))
    assert max(mode, opposite) < mean - 1


def test_squared_error_ranks_the_mean_first() -> None:
    torch.manual_seed(0)
    model = trained(NextFrameEBT(EBTConfig(), BACKBONE, GRID, DIM), 1e-2)
    mode, opposite, mean = energies_of(model, torch.stack([MODE, -MODE, 0 * MODE]))
    assert mean < min(mode, opposite) - 1


def test_no_negative_is_the_true_frame_and_a_batch_gives_the_same_again() -> None:
    model = contrastive()
    batch = Clips(torch.randn(3, 4, *MODE.shape), ["a", "b", "c"])
    negatives = model.negatives(batch, 5)
    true = batch.embeddings[:, 1:, None]
    assert negatives.shape == (3, 3, 6, *MODE.shape)
    assert ((negatives - true).abs().amax((3, 4)) > 0).float().mean() > 0.9
    kept = (negatives[:, :, 2:4] == true).all(-1)  # mixtures keep patches of the true frame
    assert 0 < kept.float().mean() < 1
    assert torch.equal(negatives, model.negatives(batch, 5))
    assert not torch.equal(negatives, model.negatives(batch, 6))


def test_a_single_clip_is_told_from_its_other_frames_and_samples() -> None:
    batch = Clips(torch.randn(1, 4, *MODE.shape), ["a"])
    assert contrastive().negatives(batch, 0).shape[2] == 4


def test_the_descent_has_its_share_of_the_loss() -> None:
    batch = two_modes(0)
    model = contrastive(descent_weight=0.5)
    plain = sum(float(loss.detach()) for loss in NextFrameEBT.training_losses(model, batch, 3))
    *_, contrast = contrastive(descent_weight=0.0).training_losses(batch, 3)
    _, of_contrast, *descents = (float(loss.detach()) for loss in model.training_losses(batch, 3))
    assert of_contrast == pytest.approx(float(contrast))
    assert sum(descents) == pytest.approx(0.5 * plain)
