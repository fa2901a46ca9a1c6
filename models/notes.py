"""What is noted beside a checkpoint: method, options and versions it was made with. Imports no torch."""

METADATA = "meta.json"  # beside model.pth
