"""The options (options.py), and files of them: one preset per published system or table row."""
