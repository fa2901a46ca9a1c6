"""Disparity refined patch by patch, and the loss that learns from it (SGDEM)."""
