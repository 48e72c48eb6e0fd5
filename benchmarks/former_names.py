"""Names of models and metrics in results of earlier versions, which are read all the same."""

from typing import Any

RENAMED_IN = 6  # version of results from which models have the names of today
# Before it the EBT with the residual energy was plainly `ebt`, and the published DiT was
# diffusers' network with the plain loss.
FORMER = {
    "ebt": "ebt_residual",
    "ebt_blind": "ebt_residual_blind",
    "ebt_multi_level": "ebt_residual_multi_level",
    "ebt_unsupervised": "ebt_residual_unsupervised",
    "ebt_system2": "ebt_residual_system2",
    "ebt_system2_without_replay": "ebt_residual_system2_without_replay",
    "ebt_system2_without_langevin": "ebt_residual_system2_without_langevin",
    "ebt_system2_fixed_steps": "ebt_residual_system2_fixed_steps",
    "ebt_system2_fixed_step_size": "ebt_residual_system2_fixed_step_size",
    "dit_published": "dit_plain_loss",
}
# Metrics, before version 7.
METRICS = {
    "calibration": "energy_over_error",
    "calibration_to_expected": "energy_over_expected_error",
}


def renamed(content: Any) -> Any:
    """The content of a result with today's names of models, as values and as keys."""
    if isinstance(content, dict):
        return {renamed(name): renamed(value) for name, value in content.items()}
    if isinstance(content, list):
        return [renamed(value) for value in content]
    return FORMER.get(content, content) if isinstance(content, str) else content


def renamed_value(name: str) -> str:
    """The name of values of single videos or images, which has that of a model within."""
    return "/".join(FORMER.get(part, part) for part in name.split("/"))
