"""The models of next-frame prediction, each declared once."""

from baselines.config import TransformerPPConfig
from benchmarks.models import ModelSpec, Network, Role, Untrained, combinations
from worldmodel.config import EBTConfig

COARSE_RATES = (7e-3, 1.4e-2, 2.8e-2)
FINE_RATES = (3.5e-3, 5e-3, 7e-3, 1e-2, 1.4e-2, 2e-2, 2.8e-2, 4e-2)
# 16 trials each: the EBT has five forms and anchors at three learning rates and one more for the
# published form; the transformers have two anchors at eight rates of the same range.
EBT_TRIALS = [
    *combinations(
        form=("residual", "quadratic"),
        anchor=("zero", "last_frame"),
        learning_rate=COARSE_RATES,
    ),
    *combinations(form=("linear",), anchor=(None,), learning_rate=(3.5e-3, *COARSE_RATES)),
]
TRANSFORMER_TRIALS = combinations(anchor=("zero", "last_frame"), learning_rate=FINE_RATES)
TRANSFORMER_PP = Network("baselines.transformer_pp:TransformerPP")

MODELS = (
    ModelSpec(
        "ebt",
        Role.ENERGY,
        Network("worldmodel.next_frame:NextFrameEBT"),
        EBTConfig,
        EBT_TRIALS,
    ),
    ModelSpec(
        "transformer_pp",
        Role.NETWORK,
        TRANSFORMER_PP,
        TransformerPPConfig,
        TRANSFORMER_TRIALS,
    ),
    ModelSpec(
        "transformer_pp_equal_training",
        Role.NETWORK,
        TRANSFORMER_PP,
        follows="transformer_pp",
        equal_training_to="ebt",
    ),
    ModelSpec(
        "transformer_pp_equal_inference",
        Role.NETWORK,
        TRANSFORMER_PP,
        TransformerPPConfig,
        TRANSFORMER_TRIALS,
        equal_inference_to="ebt",
    ),
    ModelSpec("copy_last", Role.FLOOR, Untrained("baselines.trivial:CopyLast")),
    ModelSpec(
        "linear_extrapolation", Role.FLOOR, Untrained("baselines.trivial:LinearExtrapolation")
    ),
    ModelSpec(
        "mean_frame", Role.FLOOR, Untrained("baselines.trivial:MeanFrame", takes="mean_frame")
    ),
)
