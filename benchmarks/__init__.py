"""The benchmark: tasks, metrics, costs, results and reports."""
