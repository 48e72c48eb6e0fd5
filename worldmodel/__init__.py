"""The energy-based transformer: its layers, its thinking, and next-frame prediction with it."""
