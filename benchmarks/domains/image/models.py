"""The models of images, each declared once."""

from typing import Any

from baselines.config import DirectConfig, DiTConfig, EqMConfig, PublishedDiTConfig
from benchmarks.config import JSON
from benchmarks.models import ModelSpec, Network, Role, Untrained
from denoise.config import (
    STEPS,
    TRAINED_LEVEL,
    WIDE_LEVEL,
    EBTDenoiserConfig,
    PublishedEBTDenoiserConfig,
)
from worldmodel.config import BLIND, LINEAR, SYSTEM_2, UNSUPERVISED, ModelConfig

EBT = Network("denoise.model:EBTDenoiser")
DIT = Network("baselines.dit:DiTDenoiser")
PUBLISHED_EBT = Network("denoise.published:PublishedEBTDenoiser")
PUBLISHED_DIT = Network("baselines.dit_published:PublishedDiTDenoiser")
DIRECT = Network("baselines.direct:DirectDenoiser")
EQM = Network("baselines.eqm:EqMDenoiser")
ALL_LEVELS = {"levels": [1 / STEPS, WIDE_LEVEL]}
WITHOUT_CONTEXT = LINEAR | {"context": False}


def _ebt(name: str, overrides: JSON) -> ModelSpec:
    return _variant("ebt", EBT, EBTDenoiserConfig, name, overrides, by_default=not overrides)


def _dit(name: str, overrides: JSON, **others: Any) -> ModelSpec:
    return _variant("dit", DIT, DiTConfig, name, overrides, by_default=not overrides, **others)


def _direct(name: str, overrides: JSON, **others: Any) -> ModelSpec:
    by_default = not (overrides or others.get("looped"))
    return _variant(
        "direct", DIRECT, DirectConfig, name, overrides, by_default=by_default, **others
    )


def _eqm(name: str, overrides: JSON) -> ModelSpec:
    return _variant("eqm", EQM, EqMConfig, name, overrides, by_default=False)


def _variant(
    family: str,
    build: Network,
    config: type[ModelConfig],
    name: str,
    overrides: JSON,
    **others: Any,
) -> ModelSpec:
    role = Role.ENERGY if build is EBT else Role.NETWORK
    return ModelSpec(name, role, build, config, family=family, overrides=overrides, **others)


def _classical(
    name: str, method: str, package: str | None = None, by_default: bool = True
) -> ModelSpec:
    build = Untrained(f"baselines.classical:{method}", takes="encoder")
    return ModelSpec(name, Role.FLOOR, build, package=package, by_default=by_default)


MODELS = (
    ModelSpec("ebt_published", Role.ENERGY, PUBLISHED_EBT, PublishedEBTDenoiserConfig),
    ModelSpec("dit_published", Role.NETWORK, PUBLISHED_DIT, PublishedDiTConfig),
    _ebt("ebt_residual", {}),
    _ebt("ebt_residual_blind", BLIND),
    _ebt("ebt_residual_multi_level", ALL_LEVELS),
    _ebt("ebt_residual_unsupervised", UNSUPERVISED),
    _ebt("ebt_residual_system2", SYSTEM_2),
    _ebt("ebt_without_context", WITHOUT_CONTEXT),
    # The published energy on this backbone, with one step in training.
    _ebt("ebt_linear", WITHOUT_CONTEXT | {"training_steps": 1}),
    _dit("dit", {}),
    _dit("dit_equal_training", {}, equal_training_to="ebt_residual"),
    _dit("dit_full_range", {"levels": [1 / STEPS, 1.0]}),
    _dit("dit_single_level", {"levels": [TRAINED_LEVEL, TRAINED_LEVEL]}),
    _eqm("eqm", {}),
    _eqm("eqm_energy", {"energy": "dot"}),
    _direct("direct", {}),
    _direct("direct_equal_training", {}, equal_training_to="ebt_residual"),
    _direct("direct_looped", {}, equal_inference_to="ebt_residual", looped=True),
    _direct(
        "direct_looped_equal_training",
        {},
        equal_training_to="ebt_residual",
        equal_inference_to="ebt_residual",
        looped=True,
    ),
    _direct("direct_multi_level", ALL_LEVELS),
    _classical("bm3d", "BM3D", package="bm3d"),
    _classical("non_local_means", "NonLocalMeans"),
    _classical("wavelet", "Wavelet", by_default=False),
    _classical("gaussian_blur", "GaussianBlur"),
    ModelSpec("identity", Role.FLOOR, Untrained("baselines.classical:Identity")),
)
