"""Measurements: ``make bench``, and the demo."""

import os

# As for the commands: threads that spin while they wait would be measured instead of the work of loader processes.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
