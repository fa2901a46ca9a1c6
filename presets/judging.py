"""Options that say what depth is compared with, and how. Imports no torch."""

from __future__ import annotations

from .option import FREE, Option, further_metrics, ground_truth

DEPTH_PROTOCOLS = (
    *("kitti_zhou", "kitti_kitti", "cityscapes", "kitti_eigen", "kitti_eigen_benchmark", "kitti_benchmark"),
    *("cityscapes_test", "cityscapes_test_sgdepth", "ddad", "diml_indoor", "diml_outdoor"),
    *("nyu", "nyu_struct", "make3d", "kitti_annotated", "nyu_full_dense"),
)
DEPTH_GT = Option(
    "--depth-gt",
    "raw",
    "ground truth: raw laser scans, improved (accumulated) maps, or an .npz file of maps (raw, improved, FILE)",
    kind=ground_truth,
    resume=FREE,
)
JUDGING = (
    Option(
        "--depth-protocol",
        "",
        "rules of the measurement (crop, range, alignment); empty: those of the loader",
        ("", *DEPTH_PROTOCOLS),
        resume=FREE,
    ),
    Option(
        "--eval-protocol",
        "",
        "bdedepth_released: resize predictions and take medians as the released BDEdepth does (aligned corners, "
        "the lower of two middle values), by the rules of any protocol",
        ("", "bdedepth_released"),
        resume=FREE,
    ),
    Option(
        "--depth-crop",
        "protocol",
        "window of the truth that counts, instead of that of the protocol",
        ("protocol", "none", "garg", "eigen", "nyu"),
        resume=FREE,
    ),
    Option(
        "--depth-cap",
        0.0,
        "metres: truth counts up to here and predictions end here; 0: as the protocol says",
        low=0,
        resume=FREE,
    ),
    Option(
        "--depth-alignment",
        "protocol",
        "how predictions get the scale of the truth of an image; protocol: as far as the network does not know it, by "
        "the medians, or by scale and shift of inverse depth in least squares; metres stay as they are",
        ("protocol", "none", "median", "least-squares"),
        resume=FREE,
    ),
    Option(
        "--depth-camera",
        "protocol",
        "camera of KITTI that is judged; protocol: what the list of the loader says",
        ("protocol", "left", "right"),
        resume=FREE,
    ),
    Option(
        "--post-process",
        False,
        "average the prediction with that of the mirrored image, blended at the borders as Monodepth2 does",
        resume=FREE,
    ),
    Option(
        "--flip-average",
        False,
        "take the mean of the prediction and that of the mirrored image, as LapDepth does",
        resume=FREE,
    ),
    Option(
        "--metrics",
        (),
        "further metrics, separated by commas; boundaries: edge_acc and edge_comp, how many pixels edges of depth lie "
        "from those of dense truth, and back (boundaries)",
        kind=further_metrics,
        resume=FREE,
    ),
    DEPTH_GT,
    Option(
        "--cache-dir",
        "",
        "folder that keeps depth maps projected from laser scans; empty: below the folder of all runs",
        resume=FREE,
    ),
    Option(
        "--as-released", False, "KITTI 2015 depth as published, with the focal length before rectification", resume=FREE
    ),
)
