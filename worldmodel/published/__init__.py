"""The published energy-based transformer on video (arXiv 2507.02092), equal to it in numbers."""
