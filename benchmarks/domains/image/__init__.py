"""Images: the clean image behind a noisy one."""
