"""Tests of what belongs to SD-ConvTrans alone."""
