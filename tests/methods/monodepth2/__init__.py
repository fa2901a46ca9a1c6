"""Tests of Monodepth2."""
