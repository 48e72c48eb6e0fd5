"""The models of next-frame prediction, each declared once."""

from baselines.config import TransformerPPConfig, TransformerPublishedConfig
from benchmarks.models import ModelSpec, Network, Role, Untrained
from worldmodel.config import BlindEBTConfig, EBTConfig
from worldmodel.published.config import PublishedEBTConfig

EBT = Network("worldmodel.next_frame:NextFrameEBT")
TRANSFORMER_PP = Network("baselines.transformer_pp:TransformerPP")
PUBLISHED_EBT = Network("worldmodel.published.model:PublishedEBT")
TRANSFORMER_PUBLISHED = Network("baselines.transformer_published:TransformerPublished")


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
    ModelSpec("ebt", Role.ENERGY, EBT, EBTConfig),
    ModelSpec("ebt_blind", Role.ENERGY, EBT, BlindEBTConfig),
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
# The published video models; `--models` names them.
PUBLISHED = (
    ModelSpec("ebt_published", Role.ENERGY, PUBLISHED_EBT, PublishedEBTConfig),
    ModelSpec(
        "transformer_published", Role.NETWORK, TRANSFORMER_PUBLISHED, TransformerPublishedConfig
    ),
)
