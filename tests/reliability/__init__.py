"""Faults that a week-long run meets, injected for real: what must survive survives, and the user is told."""
