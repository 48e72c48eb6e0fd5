"""One file per task: data, models and metrics to results."""
