"""Frozen encoders: frames to patch embeddings and, where possible, back."""
