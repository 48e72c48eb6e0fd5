"""Image denoising."""
