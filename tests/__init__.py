"""Tests of the whole project; subfolders mirror its packages."""
