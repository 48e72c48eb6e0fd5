"""Weights that were saved under names of earlier versions are loaded, strictly."""

from pathlib import Path

import pytest
import torch

from baselines.config import TransformerPPConfig
from baselines.transformer_pp import TransformerPP
from worldmodel.config import BackboneConfig, EBTConfig
from worldmodel.next_frame import NextFrameEBT
from worldmodel.predictor import Predictor
from worldmodel.sharing import write_model

BACKBONE = BackboneConfig(layers=1, heads=2, width=32)
EBT_NAMES = {
    "energy.heads.energy.log_gain": "energy.log_gain",
    "energy.heads.energy.": "energy.energy_head.",
    "energy.heads.prediction.": "energy.residual_head.",
    "energy.backbone.": "energy.context.backbone.",
}


def build(name: str) -> Predictor:
    if name == "transformer_pp":
        return TransformerPP(TransformerPPConfig(), BACKBONE, (2, 2), 12)
    return NextFrameEBT(EBTConfig(form=name), BACKBONE, (2, 2), 12)


def former_weights(model: Predictor) -> dict[str, torch.Tensor]:
    ebt = isinstance(model, NextFrameEBT)
    found = {"energy.log_gain": torch.zeros(())} if ebt else {}
    for name, weight in model.state_dict().items():
        for present, former in (EBT_NAMES if ebt else {"stack.": "context.backbone."}).items():
            name = name.replace(present, former)
        found[name] = weight
    return found


@pytest.mark.parametrize("name", ["residual", "quadratic", "linear", "transformer_pp"])
def test_former_names_lead_to_the_same_weights(name: str) -> None:
    saved, fresh = build(name), build(name)
    with torch.no_grad():
        for weight in saved.state_dict().values():
            weight.logical_not_() if weight.dtype == torch.bool else weight.add_(1)
    weights = former_weights(saved)
    assert not weights.keys() & {n for n in saved.state_dict() if ".blocks." in n}
    fresh.load_state_dict(weights)
    loaded = fresh.state_dict()
    assert all(torch.equal(loaded[n], w) for n, w in saved.state_dict().items())
    del weights[next(n for n in weights if n.endswith("context.backbone.norm.weight"))]
    with pytest.raises(RuntimeError, match="Missing key"):
        fresh.load_state_dict(weights)


def test_a_model_that_was_shared_before_is_loaded(tmp_path: Path) -> None:
    saved = build("residual")
    config = {"form": "residual", "calibration": 0.01}  # an option's former name
    backbone = {"layers": 1, "heads": 2, "width": 32}
    write_model(
        saved, tmp_path, {"config": config, "backbone": backbone, "grid": [2, 2], "dim": 12}
    )
    found = NextFrameEBT.from_pretrained(str(tmp_path))
    pairs = zip(found.state_dict().values(), saved.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
