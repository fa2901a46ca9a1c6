"""Metrics by the published protocols, the loops that gather them, and the tables that report them."""
