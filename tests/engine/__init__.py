"""Tests of the training machinery."""
