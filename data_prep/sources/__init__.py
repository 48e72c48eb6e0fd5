"""Where corpora come from: their files, layouts and splits."""
