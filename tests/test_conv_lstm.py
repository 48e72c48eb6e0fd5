"""The convolutional LSTM as its paper states it."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.config import ConvLSTMConfig, TransformerPPConfig
from baselines.conv_lstm import Cell, ConvLSTM
from baselines.transformer_pp import TransformerPP
from worldmodel.config import SIZES, BackboneConfig
from worldmodel.predictor import Clips, Setting

GRID, DIM = (3, 4), 6


def test_a_cell_follows_its_equations() -> None:
    torch.manual_seed(0)
    cell, x = Cell(5), torch.randn(2, 4, 5, *GRID)
    hidden = memory = torch.zeros(2, 5, *GRID)
    found, state = cell(x)
    for t in range(4):
        both = torch.cat([x[:, t], hidden], dim=1)
        weights = torch.cat(
            [layer.weight.view(20, 5, 3, 3) for layer in (cell.observed, cell.recalled)], dim=1
        )
        padded = F.pad(both, (1, 1, 1, 1))
        gates = torch.zeros(2, 20, *GRID) + cell.observed.bias[:, None, None]
        for row in range(3):
            for column in range(3):
                part = padded[..., row : row + GRID[0], column : column + GRID[1]]
                gates = gates + torch.einsum("bixy,oi->boxy", part, weights[..., row, column])
        keep, write, read, new = gates.split(5, dim=1)
        memory = keep.sigmoid() * memory + write.sigmoid() * new.tanh()
        hidden = read.sigmoid() * memory.tanh()
        assert torch.allclose(found[:, t], hidden, atol=1e-5)
    assert torch.allclose(state[1], memory, atol=1e-5)
    first, carried = cell(x[:, :3])
    assert torch.allclose(torch.cat([first, cell(x[:, 3:], carried)[0]], dim=1), found, atol=1e-6)


@pytest.mark.parametrize("backbone", [BackboneConfig(), SIZES["4xs"], SIZES["xxs"]])
def test_it_has_about_as_many_parameters_in_its_blocks_as_transformer_pp(
    backbone: BackboneConfig,
) -> None:
    def in_blocks(model: ConvLSTM | TransformerPP) -> int:
        blocks = model.blocks
        assert blocks is not None
        return sum(p.numel() for p in blocks.parameters())

    ours = in_blocks(ConvLSTM(ConvLSTMConfig(), backbone, GRID, DIM))
    plain = in_blocks(TransformerPP(TransformerPPConfig(), backbone, GRID, DIM))
    assert ours == pytest.approx(plain, rel=0.05)


def test_recomputing_its_cells_changes_no_gradient() -> None:
    def gradients(recompute: bool) -> list[Tensor]:
        torch.manual_seed(0)
        model = ConvLSTM(ConvLSTMConfig(), BackboneConfig(), GRID, DIM)
        if recompute:
            model.cells.enable_gradient_checkpointing()
        (loss,) = model.training_losses(Clips(torch.randn(2, 4, 12, DIM), ["a", "b"]), 0)
        loss.backward()
        return [p.grad for p in model.parameters() if p.grad is not None]

    plain, recomputed = gradients(False), gradients(True)
    assert len(plain) == 9  # all
    for one, other in zip(plain, recomputed, strict=True):
        assert torch.allclose(one, other)


def test_a_change_is_added_to_the_last_frame() -> None:
    frames = Clips(torch.randn(1, 3, 12, DIM, generator=torch.Generator().manual_seed(0)), ["a"])
    model = ConvLSTM(ConvLSTMConfig(anchor="last_frame"), BackboneConfig(), GRID, DIM)
    torch.nn.init.zeros_(model.head.weight)
    assert torch.equal(model.predict(frames, Setting()).prediction, frames.embeddings)
    assert torch.equal(model.rollout(frames, 2, Setting())[:, 1], frames.embeddings[:, -1])
