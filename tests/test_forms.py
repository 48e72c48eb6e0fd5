"""A form is all that a new energy needs: `gradient_step` has nothing but its formula."""

import pytest
import torch

from benchmarks.cli.options import parse, to_config
from denoise.config import EBTDenoiserConfig
from denoise.model import EBTDenoiser
from worldmodel.backbone import Visible
from worldmodel.config import BackboneConfig, EBTConfig
from worldmodel.forms import FORMS, Form
from worldmodel.next_frame import NextFrameEBT
from worldmodel.predictor import Clips, Predictor
from worldmodel.thinking import thinking_step

BACKBONE, GRID, DIM = BackboneConfig(layers=2, heads=2, width=32), (2, 2), 12
NEW = "gradient_step"


def clips(frames: int) -> Clips:
    generator = torch.Generator().manual_seed(1)
    brightness = torch.randn(4, frames, 4, 1, generator=generator)  # of a pattern that all share
    return Clips(brightness * torch.randn(DIM, generator=generator), list("abcd"))


def loss_of(model: Predictor, batch: Clips, seed: int) -> float:
    losses = []
    for loss in model.training_losses(batch, seed):
        loss.backward()
        losses.append(float(loss.detach()))
    return sum(losses)


@pytest.mark.parametrize("task", ["next_frame", "denoise"])
def test_the_command_line_takes_every_form(task: str) -> None:
    for name in FORMS:
        config = to_config(parse(["--task", task, "--ebt.form", name]))
        assert config.sections["ebt_residual"].form == name


@pytest.mark.parametrize("task", ["next_frame", "denoise"])
def test_a_form_without_a_written_out_gradient_trains(task: str) -> None:
    assert type(FORMS[NEW]).gradient is Form.gradient
    torch.manual_seed(0)
    model: Predictor = NextFrameEBT(EBTConfig(form=NEW), BACKBONE, GRID, DIM)
    if task == "denoise":
        model = EBTDenoiser(EBTDenoiserConfig(form=NEW), BACKBONE, GRID, DIM)
    batch = clips(1 if task == "denoise" else 4)
    optimizer = torch.optim.AdamW(model.parameters(), 5e-3)
    before = loss_of(model, batch, seed=0)
    for step in range(40):
        optimizer.zero_grad()
        loss_of(model, batch, step)
        optimizer.step()
    assert loss_of(model, batch, seed=0) < 0.7 * before


@pytest.mark.parametrize("anchor", ["zero", "last_frame"])
def test_a_unit_step_from_a_fixed_point_of_the_network_stays(anchor: str) -> None:
    torch.manual_seed(0)
    model = NextFrameEBT(EBTConfig(form=NEW, anchor=anchor), BACKBONE, GRID, DIM)  # type: ignore[arg-type]
    energy, visible = model.double().energy, Visible.every(3)
    with torch.no_grad():
        context = energy.encode(clips(3).embeddings.double())
        anchors = context.embeddings if anchor == "last_frame" else 0.0
        candidate = start = torch.randn(4, 3, 4, DIM, dtype=torch.float64)
        for _ in range(60):  # the network of small weights contracts
            features = energy.candidate_features(candidate, context, visible)
            candidate = anchors + energy.heads["prediction"](features)
        moved, patch_energies = thinking_step(energy, candidate, context, visible)
        elsewhere, _ = thinking_step(energy, start, context, visible)
    assert energy.step_size.item() == 1
    assert torch.allclose(moved, candidate, atol=1e-12)
    assert float(patch_energies.max()) < 1e-20
    assert float((elsewhere - start).abs().max()) > 0.1
