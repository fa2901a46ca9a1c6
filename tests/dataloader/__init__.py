"""Tests of finding, reading and batching data, and of the commands that prepare it."""
