"""Image denoising with the energy transformer. Empty as yet."""
