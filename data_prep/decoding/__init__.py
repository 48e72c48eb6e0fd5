"""Frames at wanted times from a video or image, in a disposable process."""
