"""Image denoising: the noise, the pairs of noisy and clean images, and the EBT as a denoiser."""
