"""The task of probes: what frozen features know."""
