"""The baselines: transformers, the DiT, classical methods and floors."""
