"""Measurements: ``make bench``, and the demo."""
