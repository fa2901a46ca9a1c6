"""What a training step of BDEdepth is: that of Monodepth2, with the further views of its recipe."""

from methods.monodepth2.training import training

__all__ = ["training"]
