"""Next-frame prediction."""
