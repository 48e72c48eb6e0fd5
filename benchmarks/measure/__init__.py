"""What is measured: quality, costs, intervals, and the evaluation that all tasks share."""
