"""Shard sets: format, storage, plans, executors and streaming."""
