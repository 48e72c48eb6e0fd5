"""The models of denoising, each declared once."""

from baselines.config import (
    DirectConfig,
    DiTConfig,
    FullRangeDiTConfig,
    MultiLevelDirectConfig,
    PublishedDiTConfig,
    SingleLevelDiTConfig,
)
from benchmarks.models import ModelSpec, Network, Role, Untrained
from denoise.config import (
    BlindEBTDenoiserConfig,
    EBTDenoiserConfig,
    EBTWithoutContextConfig,
    LinearEBTDenoiserConfig,
    MultiLevelEBTDenoiserConfig,
    PublishedEBTDenoiserConfig,
)

EBT = Network("denoise.model:EBTDenoiser")
PUBLISHED_EBT = Network("denoise.published:PublishedEBTDenoiser")
DIT = Network("baselines.dit:DiTDenoiser")
PUBLISHED_DIT = Network("baselines.dit_published:PublishedDiTDenoiser")
DIRECT = Network("baselines.direct:DirectDenoiser")


def _classical(name: str, method: str, package: str | None = None) -> ModelSpec:
    build = Untrained(f"baselines.classical:{method}", takes="encoder")
    return ModelSpec(name, Role.FLOOR, build, package=package)


MODELS = (
    ModelSpec("ebt", Role.ENERGY, EBT, EBTDenoiserConfig),
    ModelSpec("ebt_blind", Role.ENERGY, EBT, BlindEBTDenoiserConfig),
    ModelSpec("ebt_multi_level", Role.ENERGY, EBT, MultiLevelEBTDenoiserConfig),
    ModelSpec("ebt_without_context", Role.ENERGY, EBT, EBTWithoutContextConfig),
    ModelSpec("ebt_linear", Role.ENERGY, EBT, LinearEBTDenoiserConfig),
    ModelSpec("ebt_published", Role.ENERGY, PUBLISHED_EBT, PublishedEBTDenoiserConfig),
    ModelSpec("dit", Role.NETWORK, DIT, DiTConfig),
    ModelSpec("dit_equal_training", Role.NETWORK, DIT, DiTConfig, equal_training_to="ebt"),
    ModelSpec("dit_full_range", Role.NETWORK, DIT, FullRangeDiTConfig),
    ModelSpec("dit_single_level", Role.NETWORK, DIT, SingleLevelDiTConfig),
    ModelSpec("dit_published", Role.NETWORK, PUBLISHED_DIT, PublishedDiTConfig),
    ModelSpec("direct", Role.NETWORK, DIRECT, DirectConfig),
    ModelSpec("direct_equal_training", Role.NETWORK, DIRECT, DirectConfig, equal_training_to="ebt"),
    ModelSpec(
        "direct_looped",
        Role.NETWORK,
        DIRECT,
        DirectConfig,
        equal_inference_to="ebt",
        looped=True,
    ),
    ModelSpec(
        "direct_looped_equal_training",
        Role.NETWORK,
        DIRECT,
        DirectConfig,
        equal_training_to="ebt",
        equal_inference_to="ebt",
        looped=True,
    ),
    ModelSpec("direct_multi_level", Role.NETWORK, DIRECT, MultiLevelDirectConfig),
    _classical("bm3d", "BM3D", package="bm3d"),
    _classical("non_local_means", "NonLocalMeans"),
    _classical("wavelet", "Wavelet"),
    _classical("gaussian_blur", "GaussianBlur"),
    ModelSpec("identity", Role.FLOOR, Untrained("baselines.classical:Identity")),
)
