"""Comparison: train every model of a domain, judge them alike, say what holds."""
