"""The documents; ``python -m docs`` rewrites the parts that are made from tables of the program."""
