"""The task of scaling: how losses fall with size, data and training."""
