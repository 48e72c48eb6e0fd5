"""Corpora that are rendered, not recorded."""
