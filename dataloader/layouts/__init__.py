"""How each data set lies on disk: folders and lists to samples."""
