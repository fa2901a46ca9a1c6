"""Tests of what belongs to Spatial-KD alone."""
