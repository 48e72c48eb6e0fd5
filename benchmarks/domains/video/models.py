"""The models of video, each declared once."""

from baselines.config import (
    ContrastiveConfig,
    ConvLSTMConfig,
    EnsembleConfig,
    FlowConfig,
    GaussianConfig,
    NextFrameDiTConfig,
    TransformerPPConfig,
    TransformerPublishedConfig,
)
from benchmarks.config import JSON
from benchmarks.models import ModelSpec, Network, Role, Untrained
from worldmodel.config import BLIND, LINEAR, SYSTEM_2, UNSUPERVISED, EBTConfig, ModelConfig
from worldmodel.published.config import PublishedEBTConfig

EBT = Network("worldmodel.next_frame:NextFrameEBT")
TRANSFORMER_PP = Network("baselines.transformer_pp:TransformerPP")
TRANSFORMER_PP_GAUSSIAN = Network("baselines.transformer_pp_gaussian:TransformerPPGaussian")
TRANSFORMER_PP_ENSEMBLE = Network("baselines.transformer_pp_ensemble:TransformerPPEnsemble")
CONV_LSTM = Network("baselines.conv_lstm:ConvLSTM")
CONTRASTIVE_EBT = Network("baselines.contrastive:ContrastiveEBT")
FLOW = Network("baselines.flow:NextFrameFlow")
DIT = Network("baselines.video_dit:NextFrameDiT")
PUBLISHED_EBT = Network("worldmodel.published.model:PublishedEBT")
TRANSFORMER_PUBLISHED = Network("baselines.transformer_published:TransformerPublished")


def _ebt(name: str, overrides: JSON) -> ModelSpec:
    return ModelSpec(
        name,
        Role.ENERGY,
        EBT,
        EBTConfig,
        by_default=not overrides,
        family="ebt",
        overrides=overrides,
    )


def _transformer(
    name: str,
    equal_training_to: str | None = None,
    equal_inference_to: str | None = None,
    looped: bool = False,
) -> ModelSpec:
    return ModelSpec(
        name,
        Role.NETWORK,
        TRANSFORMER_PP,
        TransformerPPConfig,
        equal_training_to,
        equal_inference_to,
        looped,
        by_default=not (equal_inference_to or looped),
        family="transformer_pp",
    )


def _network(
    name: str, build: Network, config: type[ModelConfig], by_default: bool = False
) -> ModelSpec:
    return ModelSpec(name, Role.NETWORK, build, config, by_default=by_default)


MODELS = (
    ModelSpec("ebt_published", Role.ENERGY, PUBLISHED_EBT, PublishedEBTConfig),
    ModelSpec(
        "transformer_published",
        Role.NETWORK,
        TRANSFORMER_PUBLISHED,
        TransformerPublishedConfig,
    ),
    _ebt("ebt_residual", {}),
    # The published energy on this backbone.
    _ebt("ebt_linear", LINEAR),
    _ebt("ebt_residual_unsupervised", UNSUPERVISED),
    _ebt("ebt_residual_system2", SYSTEM_2),
    _ebt("ebt_residual_blind", BLIND),
    # An energy that can choose among futures.
    ModelSpec("ebt_contrastive", Role.ENERGY, CONTRASTIVE_EBT, ContrastiveConfig, by_default=False),
    # The System 2 recipe without one of its parts each.
    _ebt("ebt_residual_system2_without_replay", SYSTEM_2 | {"replay": 0}),
    _ebt("ebt_residual_system2_without_langevin", SYSTEM_2 | {"langevin_noise": 0.0}),
    _ebt("ebt_residual_system2_fixed_steps", SYSTEM_2 | {"random_steps": 0}),
    _ebt("ebt_residual_system2_fixed_step_size", SYSTEM_2 | {"random_step_size": 1.0}),
    _transformer("transformer_pp"),
    _transformer("transformer_pp_equal_training", equal_training_to="ebt_residual"),
    _transformer("transformer_pp_equal_inference", equal_inference_to="ebt_residual"),
    _transformer("transformer_pp_looped", equal_inference_to="ebt_residual", looped=True),
    _transformer(
        "transformer_pp_looped_equal_training",
        equal_training_to="ebt_residual",
        equal_inference_to="ebt_residual",
        looped=True,
    ),
    _network("transformer_pp_gaussian", TRANSFORMER_PP_GAUSSIAN, GaussianConfig),
    _network("transformer_pp_ensemble", TRANSFORMER_PP_ENSEMBLE, EnsembleConfig),
    _network("conv_lstm", CONV_LSTM, ConvLSTMConfig),
    # Samplers: a flow on the EBT's backbone, and the diffusion transformer.
    _network("flow", FLOW, FlowConfig, by_default=True),
    _network("dit", DIT, NextFrameDiTConfig, by_default=True),
    ModelSpec("copy_last", Role.FLOOR, Untrained("baselines.trivial:CopyLast")),
    ModelSpec(
        "linear_extrapolation", Role.FLOOR, Untrained("baselines.trivial:LinearExtrapolation")
    ),
    ModelSpec(
        "mean_frame", Role.FLOOR, Untrained("baselines.trivial:MeanFrame", takes="mean_frame")
    ),
)
