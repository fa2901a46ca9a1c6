"""Tests of what belongs to LapDepth alone."""
