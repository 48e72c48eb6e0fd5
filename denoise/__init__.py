"""Image denoising with the energy-based transformer."""
