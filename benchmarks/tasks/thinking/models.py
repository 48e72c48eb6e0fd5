"""The models of thinking, each declared once."""

from baselines.config import TransformerPPConfig
from benchmarks.models import ModelSpec, Network, Role, Untrained
from worldmodel.config import BlindEBTConfig, EBTConfig, System2EBTConfig, UnsupervisedEBTConfig

EBT = Network("worldmodel.next_frame:NextFrameEBT")

MODELS = (
    ModelSpec("ebt", Role.ENERGY, EBT, EBTConfig),
    ModelSpec("ebt_unsupervised", Role.ENERGY, EBT, UnsupervisedEBTConfig),
    ModelSpec("ebt_system2", Role.ENERGY, EBT, System2EBTConfig),
    ModelSpec("ebt_blind", Role.ENERGY, EBT, BlindEBTConfig),
    ModelSpec(
        "transformer_pp",
        Role.NETWORK,
        Network("baselines.transformer_pp:TransformerPP"),
        TransformerPPConfig,
    ),
    ModelSpec("copy_last", Role.FLOOR, Untrained("baselines.trivial:CopyLast")),
)
