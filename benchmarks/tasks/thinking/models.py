"""The models of thinking, each declared once, for both parts."""

from baselines.config import DirectConfig, TransformerPPConfig
from benchmarks.models import ModelSpec, Network, Role, Untrained
from denoise.config import (
    BlindEBTDenoiserConfig,
    EBTDenoiserConfig,
    MultiLevelEBTDenoiserConfig,
    PublishedEBTDenoiserConfig,
    System2EBTDenoiserConfig,
    UnsupervisedEBTDenoiserConfig,
)
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
DENOISER = Network("denoise.model:EBTDenoiser")
PUBLISHED_DENOISER = Network("denoise.published:PublishedEBTDenoiser")
DIRECT = Network("baselines.direct:DirectDenoiser")

NEXT_FRAME = (
    ModelSpec("ebt", Role.ENERGY, EBT, EBTConfig),
    ModelSpec("ebt_unsupervised", Role.ENERGY, EBT, UnsupervisedEBTConfig),
    ModelSpec("ebt_system2", Role.ENERGY, EBT, System2EBTConfig),
    ModelSpec("ebt_blind", Role.ENERGY, EBT, BlindEBTConfig),
    ModelSpec("transformer_pp", Role.NETWORK, TRANSFORMER_PP, TransformerPPConfig),
    ModelSpec(
        "transformer_pp_looped",
        Role.NETWORK,
        TRANSFORMER_PP,
        TransformerPPConfig,
        equal_inference_to="ebt",
        looped=True,
    ),
    ModelSpec("copy_last", Role.FLOOR, Untrained("baselines.trivial:CopyLast")),
)
# The System 2 recipe without one of its parts each; `--preset ablation` trains them.
ABLATION = (
    ModelSpec("ebt_system2_without_replay", Role.ENERGY, EBT, System2WithoutReplayConfig),
    ModelSpec("ebt_system2_without_langevin", Role.ENERGY, EBT, System2WithoutLangevinConfig),
    ModelSpec("ebt_system2_fixed_steps", Role.ENERGY, EBT, System2WithFixedStepsConfig),
    ModelSpec("ebt_system2_fixed_step_size", Role.ENERGY, EBT, System2WithFixedStepSizeConfig),
)
DENOISE = (
    ModelSpec("ebt", Role.ENERGY, DENOISER, EBTDenoiserConfig),
    ModelSpec("ebt_multi_level", Role.ENERGY, DENOISER, MultiLevelEBTDenoiserConfig),
    ModelSpec("ebt_unsupervised", Role.ENERGY, DENOISER, UnsupervisedEBTDenoiserConfig),
    ModelSpec("ebt_system2", Role.ENERGY, DENOISER, System2EBTDenoiserConfig),
    ModelSpec("ebt_blind", Role.ENERGY, DENOISER, BlindEBTDenoiserConfig),
    ModelSpec("direct", Role.NETWORK, DIRECT, DirectConfig),
    ModelSpec(
        "direct_looped",
        Role.NETWORK,
        DIRECT,
        DirectConfig,
        equal_inference_to="ebt",
        looped=True,
    ),
    ModelSpec("identity", Role.FLOOR, Untrained("baselines.classical:Identity")),
)
# The published image model; `--models` names it.
PUBLISHED_DENOISE = (
    ModelSpec("ebt_published", Role.ENERGY, PUBLISHED_DENOISER, PublishedEBTDenoiserConfig),
)
