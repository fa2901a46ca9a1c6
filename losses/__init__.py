"""Formulas: tensors in, loss and maps out."""
