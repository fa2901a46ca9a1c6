"""Tests of the street renderer."""
