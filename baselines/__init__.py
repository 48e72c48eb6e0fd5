"""What the EBT is measured against: transformers, the DiT, classical methods and floors."""
