"""The models of denoising, each declared once."""

from baselines.config import (
    DirectConfig,
    DiTConfig,
    FullRangeDiTConfig,
    MultiLevelDirectConfig,
    SingleLevelDiTConfig,
)
from benchmarks.models import ModelSpec, Network, Role, Untrained, combinations
from denoise.config import EBTDenoiserConfig, EBTWithoutContextConfig, PublishedEBTConfig

# 8 trials each: eight learning rates, or fewer where a form is searched as well.
RATES = (3.5e-3, 5e-3, 7e-3, 1e-2, 1.4e-2, 2e-2, 2.8e-2, 4e-2)
RATE_TRIALS = combinations(learning_rate=RATES)
DIT_TRIALS = combinations(min_snr=(5.0, None), learning_rate=(7e-3, 1.4e-2, 2e-2, 2.8e-2))
EBT_TRIALS = [
    *combinations(form=("residual",), learning_rate=(1e-2, 1.4e-2, 2e-2, 2.8e-2)),
    *combinations(form=("quadratic", "linear"), learning_rate=(7e-3, 1.4e-2)),
]
WITHOUT_CONTEXT_TRIALS = [
    *combinations(form=("residual",), anchor=("zero",), learning_rate=(7e-3, 1.4e-2)),
    *combinations(form=("residual", "quadratic"), learning_rate=(1.4e-2, 2.8e-2)),
    *combinations(form=("linear",), learning_rate=(7e-3, 1.4e-2)),
]
EBT = Network("denoise.model:EBTDenoiser")
DIT = Network("baselines.dit:DiTDenoiser")
DIRECT = Network("baselines.direct:DirectDenoiser")


def _classical(name: str, method: str, package: str | None = None) -> ModelSpec:
    build = Untrained(f"baselines.classical:{method}", takes="encoder")
    return ModelSpec(name, Role.FLOOR, build, package=package)


MODELS = (
    ModelSpec("ebt", Role.ENERGY, EBT, EBTDenoiserConfig, EBT_TRIALS),
    ModelSpec(
        "ebt_without_context", Role.ENERGY, EBT, EBTWithoutContextConfig, WITHOUT_CONTEXT_TRIALS
    ),
    ModelSpec("ebt_linear", Role.ENERGY, EBT, PublishedEBTConfig, RATE_TRIALS),
    ModelSpec("dit", Role.NETWORK, DIT, DiTConfig, DIT_TRIALS),
    ModelSpec(
        "dit_equal_training",
        Role.NETWORK,
        DIT,
        follows="dit",
        # Its sweep and the published protocol are shown for `dit` itself.
        changes={"passes": [1, 10], "recursions": []},
        equal_training_to="ebt",
    ),
    ModelSpec("dit_full_range", Role.NETWORK, DIT, FullRangeDiTConfig, DIT_TRIALS),
    # The weights of its loss would all be one, so they are not searched.
    ModelSpec("dit_single_level", Role.NETWORK, DIT, SingleLevelDiTConfig, RATE_TRIALS),
    ModelSpec("direct", Role.NETWORK, DIRECT, DirectConfig, RATE_TRIALS),
    ModelSpec(
        "direct_equal_training", Role.NETWORK, DIRECT, follows="direct", equal_training_to="ebt"
    ),
    ModelSpec("direct_multi_level", Role.NETWORK, DIRECT, MultiLevelDirectConfig, RATE_TRIALS),
    _classical("bm3d", "BM3D", package="bm3d"),
    _classical("non_local_means", "NonLocalMeans"),
    _classical("wavelet", "Wavelet"),
    _classical("gaussian_blur", "GaussianBlur"),
    ModelSpec("identity", Role.FLOOR, Untrained("baselines.classical:Identity")),
)
