"""The models of video, each declared once."""

from baselines.config import TransformerPPConfig
from benchmarks.models import ModelSpec, Network, Role, Untrained
from worldmodel.config import (
    BlindEBTConfig,
    EBTConfig,
    System2EBTConfig,
    System2WithFixedStepsConfig,
    System2WithFixedStepSizeConfig,
    System2WithoutLangevinConfig,
    System2WithoutReplayConfig,
    UnsupervisedEBTConfig,
)

EBT = Network("worldmodel.next_frame:NextFrameEBT")
TRANSFORMER_PP = Network("baselines.transformer_pp:TransformerPP")


def _ebt(name: str, config: type[EBTConfig], by_default: bool = True) -> ModelSpec:
    return ModelSpec(name, Role.ENERGY, EBT, config, by_default=by_default)


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
    )


MODELS = (
    _ebt("ebt", EBTConfig),
    _ebt("ebt_unsupervised", UnsupervisedEBTConfig, by_default=False),
    _ebt("ebt_system2", System2EBTConfig, by_default=False),
    _ebt("ebt_blind", BlindEBTConfig),
    # The System 2 recipe without one of its parts each.
    _ebt("ebt_system2_without_replay", System2WithoutReplayConfig, by_default=False),
    _ebt("ebt_system2_without_langevin", System2WithoutLangevinConfig, by_default=False),
    _ebt("ebt_system2_fixed_steps", System2WithFixedStepsConfig, by_default=False),
    _ebt("ebt_system2_fixed_step_size", System2WithFixedStepSizeConfig, by_default=False),
    _transformer("transformer_pp"),
    _transformer("transformer_pp_equal_training", equal_training_to="ebt"),
    _transformer("transformer_pp_equal_inference", equal_inference_to="ebt"),
    _transformer("transformer_pp_looped", equal_inference_to="ebt", looped=True),
    _transformer(
        "transformer_pp_looped_equal_training",
        equal_training_to="ebt",
        equal_inference_to="ebt",
        looped=True,
    ),
    ModelSpec("copy_last", Role.FLOOR, Untrained("baselines.trivial:CopyLast")),
    ModelSpec(
        "linear_extrapolation", Role.FLOOR, Untrained("baselines.trivial:LinearExtrapolation")
    ),
    ModelSpec(
        "mean_frame", Role.FLOOR, Untrained("baselines.trivial:MeanFrame", takes="mean_frame")
    ),
)
