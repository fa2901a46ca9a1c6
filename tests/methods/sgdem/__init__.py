"""Tests of SGDEM and SGDepth, which share most."""
