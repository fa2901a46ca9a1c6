"""Tests of what belongs to BDEdepth alone."""
