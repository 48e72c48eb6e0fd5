"""What readers call each model. A model that is not listed goes by its identifier."""

EQUAL = "equal training FLOPs"

TITLES = {
    # Energies.
    "ebt_published": "EBT, published",
    "ebt_linear": "EBT, linear",
    "ebt_without_context": "EBT, linear, no context",
    "ebt_residual": "EBT, residual",
    "ebt_residual_blind": "EBT, residual, blind",
    "ebt_residual_multi_level": "EBT, residual, many levels",
    "ebt_residual_unsupervised": "EBT, residual, energy not taught",
    "ebt_contrastive": "EBT, contrastive",
    "ebt_residual_system2": "EBT, System 2",
    "ebt_residual_system2_without_replay": "EBT, System 2, no replay",
    "ebt_residual_system2_without_langevin": "EBT, System 2, no Langevin noise",
    "ebt_residual_system2_fixed_steps": "EBT, System 2, fixed steps",
    "ebt_residual_system2_fixed_step_size": "EBT, System 2, fixed step size",
    # Regressors.
    "transformer_published": "Transformer++, published",
    "transformer_pp": "Transformer++",
    "transformer_pp_equal_training": f"Transformer++, {EQUAL}",
    "transformer_pp_equal_inference": "Transformer++, equal inference FLOPs",
    "transformer_pp_looped": "Transformer++, looped",
    "transformer_pp_looped_equal_training": f"Transformer++, looped, {EQUAL}",
    "transformer_pp_gaussian": "Transformer++ with a variance",
    "transformer_pp_ensemble": "Transformer++, ensemble",
    "conv_lstm": "ConvLSTM",
    "direct": "Direct",
    "direct_equal_training": f"Direct, {EQUAL}",
    "direct_looped": "Direct, looped",
    "direct_looped_equal_training": f"Direct, looped, {EQUAL}",
    "direct_multi_level": "Direct, many levels",
    # Samplers.
    "dit_published": "DiT, published",
    "dit": "DiT",
    "dit_equal_training": f"DiT, {EQUAL}",
    "dit_full_range": "DiT, all levels",
    "dit_single_level": "DiT, one level",
    "dit_plain_loss": "DiT, plain loss",
    "eqm": "Equilibrium Matching",
    "eqm_energy": "Equilibrium Matching, energy",
    "flow": "Flow",
    # Floors and classical methods.
    "copy_last": "Copy of the last frame",
    "linear_extrapolation": "Linear extrapolation",
    "mean_frame": "Mean frame",
    "bm3d": "BM3D",
    "non_local_means": "Non-local means",
    "wavelet": "Wavelet",
    "gaussian_blur": "Gaussian blur",
    "identity": "Noisy image",
    # What knows the future, and what probes see without a model.
    "true_mean": "True mean",
    "true_samples": "True samples",
    "embeddings": "Embeddings",
    "untrained": "Untrained network",
    "constant": "Constant",
}


def title_of(name: str) -> str:
    """What readers call a model of this identifier."""
    return TITLES.get(name, name)
