"""Training on video, as SGDepth, SGDEM and Monodepth2 share it: predict, warp, mask, refine, compare."""
