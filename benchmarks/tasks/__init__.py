"""What is asked of a domain: a folder for each task."""
