"""Video: the next frame after observed ones."""
