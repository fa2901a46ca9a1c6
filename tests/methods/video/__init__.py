"""Tests of what methods share that learn from video."""
