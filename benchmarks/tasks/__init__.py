"""One package per task: its data, its models, how they are judged, its report."""
