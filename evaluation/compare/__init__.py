"""``python -m evaluation.compare``: evaluations side by side. A command: it may import anything, nothing imports it."""
