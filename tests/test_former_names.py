"""Weights that were saved under names of earlier versions are loaded, strictly."""

from collections.abc import Callable

import pytest
import torch

from baselines.config import TransformerPPConfig
from baselines.transformer_pp import TransformerPP
from worldmodel.config import BackboneConfig, EBTConfig
from worldmodel.next_frame import NextFrameEBT
from worldmodel.predictor import Predictor

BACKBONE = BackboneConfig(layers=1, heads=2, width=32)
BLOCK = "backbone.blocks.0.attention.query.weight"


def ebt() -> NextFrameEBT:
    return NextFrameEBT(EBTConfig(), BACKBONE, (2, 2), 12)


def transformer_pp() -> TransformerPP:
    return TransformerPP(TransformerPPConfig(), BACKBONE, (2, 2), 12)


@pytest.mark.parametrize(
    ("build", "present", "former", "name"),
    [
        (ebt, "energy.backbone.", "energy.context.backbone.", f"energy.context.{BLOCK}"),
        (transformer_pp, "stack.", "context.backbone.", f"context.{BLOCK}"),
    ],
)
def test_former_names_lead_to_the_same_weights(
    build: Callable[[], Predictor], present: str, former: str, name: str
) -> None:
    saved, fresh = build(), build()
    weights = {n.replace(present, former): w for n, w in saved.state_dict().items()}
    assert name in weights
    fresh.load_state_dict(weights)
    loaded = fresh.state_dict()
    assert all(torch.equal(loaded[n], w) for n, w in saved.state_dict().items())
    del weights[name]
    with pytest.raises(RuntimeError, match="Missing key"):
        fresh.load_state_dict(weights)
