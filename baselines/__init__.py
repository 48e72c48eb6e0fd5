"""What the EBT is measured against: Transformer++ and the floors that every model must beat."""
