"""What published files of networks that say metres leave open."""

DEPTH = "the file does not tell its largest depth, which is that of --model-depth-max: 80 for KITTI, 10 for NYUv2"
