"""From videos to shards to frozen embeddings: everything that happens before a model sees data."""
