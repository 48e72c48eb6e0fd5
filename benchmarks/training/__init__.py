"""Training of the models of a run: planning, fitting, search and processes."""
