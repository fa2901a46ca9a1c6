"""Training with measured depth, as methods share it whose networks say metres."""
