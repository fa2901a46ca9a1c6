"""Tests of patch distillation."""
