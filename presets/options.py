"""Every option once: name, default, meaning, by group and command. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from models import METHODS

LONGEST = 16384  # side of a resized image, pixels
RESNETS = (18, 34, 50, 101, 152)


def floats(text: str) -> tuple[float, ...]:
    """Numbers between commas."""
    return tuple(float(part) for part in text.split(",") if part.strip())


def integers(text: str) -> tuple[int, ...]:
    """Whole numbers between commas."""
    return tuple(int(part) for part in text.split(",") if part.strip())


def names(text: str) -> tuple[str, ...]:
    """Names between commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def decay_factor(text: str) -> float | str:
    """A number, or the word ``released``."""
    return text if text == "released" else float(text)


WORDS = {
    int: "a whole number",
    float: "a number",
    floats: "numbers separated by commas",
    integers: "whole numbers separated by commas",
    decay_factor: "a number or 'released'",
}


@dataclass(frozen=True)
class Option:
    """One option, said once: parser, presets, opt.json and the README table all read it.

    `low` and `high` bound numbers (inclusive); `multiple` is what a size must be a multiple of.
    """

    flag: str
    default: Any
    help: str
    choices: tuple = ()
    low: float = float("-inf")
    high: float = float("inf")
    multiple: int = 1
    kind: Callable[[str], Any] | None = None

    @property
    def name(self) -> str:
        """Attribute of the namespace, key of opt.json."""
        return self.flag.removeprefix("--").replace("-", "_")

    @property
    def parse(self) -> Callable[[str], Any]:
        """Text of the command line to value."""
        return self.kind or (names if isinstance(self.default, tuple) else type(self.default))


def _size(prefix: str, what: str, height: int = 192, width: int = 640) -> list[Option]:
    note = f"{what}, pixels, a multiple of 32"
    return [
        Option(f"--{prefix}-height", height, f"height of {note}", low=64, high=LONGEST, multiple=32),
        Option(f"--{prefix}-width", width, f"width of {note}", low=64, high=LONGEST, multiple=32),
    ]


def _unused_size(prefix: str) -> list[Option]:
    return [
        Option(f"--{prefix}-{side}", size, "accepted, has no effect", low=1)
        for side, size in (("height", 192), ("width", 640))
    ]


SYSTEM = (
    "system",
    [
        Option("--sys-cpu", False, "compute on the CPU even where a GPU is present"),
        Option(
            "--sys-num-workers",
            3,
            "loader processes per data set, with torchrun for each of its processes; 0 loads in the main process",
            low=0,
            high=256,
        ),
        Option("--sys-best-effort-determinism", False, "deterministic kernels where they exist (slower)"),
        Option("--sys-seed", 1, "weights, order and augmentation derive from it", low=0, high=2**31 - 1),
        Option(
            "--train-precision",
            "auto",
            "numbers inside the networks; geometry and losses stay in float32; "
            "auto: bf16 for training on GPUs that have it, else fp32; fp16: with scaled gradients, for older ones",
            ("auto", "fp32", "bf16", "fp16"),
        ),
    ],
)
NETWORK = (
    "network",
    [
        Option("--method", METHODS[0], "published system: network, objective and defaults of its recipe", METHODS),
        Option("--model-num-layers", 18, "layers of the shared ResNet", RESNETS),
        Option("--model-num-layers-pose", 18, "layers of the pose ResNet", RESNETS),
        Option(
            "--model-split-pos", 1, "where depth and segmentation decoders part; 0: from the start", tuple(range(5))
        ),
        Option("--model-depth-min", 0.1, "depth of disparity 1, metres up to scale", low=1e-6),
        Option("--model-depth-max", 100.0, "depth of disparity 0, metres up to scale", low=1e-6),
        Option("--model-depth-resolutions", 4, "number of depth outputs", (1, 2, 3, 4)),
        Option(
            "--model-num-classes",
            20,
            "segmentation outputs; 20: the Cityscapes classes and background",
            low=2,
            high=255,
        ),
        Option("--model-disparity-bias", 5.0, "added to the bias of the depth outputs before training"),
        Option(
            "--model-attention",
            "none",
            "blockwise channel attention: on the deepest map of the shared encoder "
            "(bottleneck), or as the released SGDEM code has it",
            ("none", "bottleneck", "released"),
        ),
        Option("--model-attention-strips", 4, "strips of columns the bottleneck attention works on one by one", low=1),
        Option(
            "--model-attention-gain", False, "learn the weight of the attention, from 0; for fine-tuning plain SGDepth"
        ),
        Option("--model-aspp", False, "atrous pyramid on the deepest map, before the attention"),
    ],
)
EXPERIMENT = (
    "experiment",
    [
        Option("--dataset-dir", "", "folder with kitti/, cityscapes/ ...; empty: environment IFN_DIR_DATASET"),
        Option("--checkpoint-dir", "", "folder of all runs; empty: environment IFN_DIR_CHECKPOINT"),
        Option("--experiment-class", "sgdepth_eccv_test", "first folder level of the run"),
        Option("--model-name", "sgdepth_base", "second folder level of the run"),
        Option("--model-load", "", "checkpoint folder, below the folder of all runs or absolute"),
        Option("--model-disable-lr-loading", False, "load the network only: not optimiser, schedule, epoch and step"),
        Option(
            "--data-on-missing",
            "stop",
            "what to do where image files are missing or cut off: stop before the work "
            "begins, or drop the samples that need them",
            ("stop", "drop"),
        ),
        Option("--data-folder", "", "own data for folder_train and folder_test: every subfolder is one sequence"),
        Option("--data-intrinsics", (), "fx,fy,cx,cy of own data, in pixels of the files", kind=floats),
    ],
)
DEPTH_VALIDATION = (
    "depth validation",
    [
        *_size("depth-validation-resize", "the network input"),
        *_unused_size("depth-validation-crop"),
        Option(
            "--depth-validation-loaders", ("kitti_kitti_validation",), "data sets, separated by commas; '' for none"
        ),
        Option("--depth-validation-batch-size", 1, "images per batch", low=1),
        Option("--depth-validation-fixed-scaling", 0.0, "factor on predictions; 0: median scaling per image", low=0),
        Option("--depth-ratio-on-validation", False, "print the scaling ratios of the first quarter only"),
        Option(
            "--depth-gt",
            "raw",
            "ground truth: raw laser scans, or the improved (accumulated) maps",
            ("raw", "improved"),
        ),
        Option("--as-released", False, "KITTI 2015 depth as published, with the focal length before rectification"),
    ],
)
POSE_VALIDATION = (
    "pose validation",
    [
        *_size("pose-validation-resize", "the network input"),
        Option("--pose-validation-loaders", (), "data sets, separated by commas"),
        Option("--pose-validation-batch-size", 1, "image pairs per batch", low=1),
        Option("--pose-validation-fixed-scaling", 0.0, "accepted, has no effect"),
    ],
)
SEGMENTATION_VALIDATION = (
    "segmentation validation",
    [
        *_size("segmentation-validation-resize", "the network input", 512, 1024),
        Option("--segmentation-validation-loaders", ("cityscapes_validation",), "data sets; '' for none"),
        Option("--segmentation-validation-batch-size", 1, "images per batch", low=1),
    ],
)
PICTURES = ("pictures", [Option("--eval-num-images", 20, "pictures written per data set", low=0)])
TRAINING = (
    "training",
    [
        Option("--train-batches-per-epoch", 9645, "steps per epoch", low=1),
        Option("--train-num-epochs", 20, "epochs", low=0),
        Option("--train-checkpoint-frequency", 5, "epochs between checkpoints", low=1),
        Option("--train-tb-frequency", 500, "steps between TensorBoard entries", low=1),
        Option("--train-print-frequency", 2500, "steps between lines of progress", low=1),
        Option("--train-learning-rate", 1e-4, "learning rate of Adam", low=0),
        Option(
            "--train-warmup-steps",
            0,
            "steps over which the learning rate rises from 0; from scratch some hundred keep "
            "the disparity from collapsing before the motion is found",
            low=0,
        ),
        Option(
            "--train-accumulate",
            1,
            "batches whose gradients are added up for one step of the optimiser; epochs and "
            "the log count batches, warm-up counts steps of the optimiser",
            low=1,
        ),
        Option(
            "--train-max-bad-steps",
            10,
            "steps of the optimiser in a row with a number that is NaN or infinite after "
            "which the run ends; each of them is left out, named, and the first are kept in bad_steps/",
            low=1,
        ),
        Option("--train-sync-batchnorm", False, "batch normalisation over the batches of all processes; GPUs only"),
        Option("--train-compile", False, "compile network and losses with torch.compile; the first steps take minutes"),
        Option("--train-scheduler-step-size", 15, "epochs until the learning rate decays", low=1),
        Option(
            "--train-scheduler-gamma",
            0.1,
            "factor of the decay; 'released': the learning rate itself, as the published code has it",
            kind=decay_factor,
        ),
        Option("--train-weight-decay", 0.0, "L2 penalty of Adam", low=0),
        Option("--train-weights-init", "pretrained", "ImageNet weights or random ones", ("pretrained", "scratch")),
        Option("--train-depth-grad-scale", 0.9, "weight of the depth gradient in the shared part", low=0),
        Option("--train-segmentation-grad-scale", 0.1, "weight of the segmentation gradient in the shared part", low=0),
        Option("--train-color-jitter", "on", "colour augmentation", ("on", "off")),
        Option(
            "--data-cache",
            "",
            "folder that keeps images and labels decoded at training size; what is missing there is "
            "made before training begins; empty: decode at every use",
        ),
        Option(
            "--data-on-error",
            "stop",
            "what to do where a file turns out damaged: stop, with the run saved, or skip it "
            "and let other samples take the place of those that need it; evaluation, within training too, always "
            "stops, for its numbers are of all images",
            ("stop", "skip"),
        ),
        Option(
            "--data-max-errors",
            100,
            "samples with damaged files that --data-on-error skip tolerates; counted from the "
            "start of the command, with torchrun by each process",
            low=1,
        ),
        Option(
            "--resume", "never", "auto: continue the newest valid checkpoint of this --model-name", ("never", "auto")
        ),
        Option("--overwrite", False, "discard the checkpoints this run folder holds and start again"),
    ],
)
DEPTH_TRAINING = (
    "depth training",
    [
        Option("--depth-training-loaders", ("kitti_kitti_train",), "data sets, separated by commas; '' for none"),
        Option("--depth-training-batch-size", 6, "triplets per batch and process", low=1),
        *_size("depth-resize", "the network input"),
        *_unused_size("depth-crop"),
        Option("--depth-disparity-smoothness", 1e-3, "weight of the smoothness term", low=0),
        Option("--depth-reprojection-weight", 1.0, "weight of the whole photometric loss with its smoothness", low=0),
        Option("--depth-min-sampling-res", 10000, "accepted, has no effect (nor had it in the published code)", low=3),
        Option("--depth-avg-reprojection", False, "mean instead of minimum over the neighbour frames"),
        Option("--depth-disable-automasking", False, "keep pixels that look the same without motion"),
    ],
)
SEGMENTATION_TRAINING = (
    "segmentation training",
    [
        Option("--segmentation-training-loaders", ("cityscapes_train",), "data sets; '' trains depth alone"),
        Option("--segmentation-training-batch-size", 6, "images per batch and process", low=1),
        Option(
            "--segmentation-resize-height",
            512,
            "height of the image before it is shrunk by 1 to 1.5 and cropped",
            low=64,
            high=LONGEST,
        ),
        Option(
            "--segmentation-resize-width",
            1024,
            "width of the image before it is shrunk by 1 to 1.5 and cropped",
            low=64,
            high=LONGEST,
        ),
        *_size("segmentation-crop", "the network input"),
    ],
)
MASKING = (
    "masking of moving objects",
    [
        Option("--masking-enable", False, "drop images whose dynamic classes move"),
        Option("--masking-from-epoch", 15, "first epoch that collects statistics; masking starts in the next", low=0),
        Option("--masking-linear-increase", False, "mask fewer images from epoch to epoch"),
        Option(
            "--moving-mask-percent",
            0.1,
            "share of images masked, a fraction; without linear increase only",
            low=0,
            high=1,
        ),
        Option("--masking-classes", tuple(range(11, 20)), "train ids that may move", kind=integers),
    ],
)
CONSISTENCY = (
    "semantic-depth consistency",
    [
        Option("--sd-consistency-weight", 0.0, "weight of disparity steps inside one semantic region; 0: off", low=0),
        Option(
            "--sd-consistency-variant",
            "decided",
            "decided: blind to the scale of the disparity; paper: as drawn in the published figure",
            ("decided", "paper"),
        ),
        Option("--sd-consistency-from-epoch", 1, "first epoch of this loss; before that the classes are noise", low=0),
    ],
)
_REFINER = [
    Option("--patch-size", 0, "side of a patch, a multiple of 64; 0: 64 per 96 rows", low=0, multiple=64),
    Option("--patch-max", 0, "patches per image at most, those with the strongest gradients; 0: all", low=0),
    Option("--patch-enlarge", False, "let patches grow while they stay rich in gradients"),
    Option(
        "--patch-blend",
        "window",
        "how overlapping patches become one map: smooth windows, or one after the other as released",
        ("window", "released"),
    ),
    Option(
        "--patch-fusion-weight",
        0.6,
        "how much the patches count against the disparity of the whole image",
        low=0,
        high=1,
    ),
    Option("--patch-chunk", 64, "patches that pass a teacher at once; fewer need less memory", low=1),
]
_TEACHERS = "dpt-hybrid, dpt-large, a weight file, hf:<model> or none"
PATCHES = (
    "patch distillation",
    [
        Option("--patch-distill", False, "train on disparities refined patch by patch"),
        Option("--patch-from-epoch", 5, "first epoch of the patch loss (epochs count from 0)", low=0),
        Option("--patch-until-epoch", 15, "first epoch without it again", low=0),
        Option("--patch-interval", 1, "every how many steps it is computed", low=1),
        Option("--patch-loss-weight", 16.0, "weight of the patch loss", low=0),
        Option(
            "--patch-self-teacher",
            "snapshot",
            "who estimates patches at three scales: a copy of the network from the "
            "start of the epoch (snapshot), its running mean (ema), the network itself (student), or a checkpoint, "
            "below the folder of all runs or absolute",
        ),
        Option("--patch-teacher", "dpt-hybrid", f"frozen teacher: {_TEACHERS}"),
        Option(
            "--patch-teacher-cache",
            "",
            "folder with the teacher's maps, made by python -m dataloader.prepare "
            "teacher-cache; the teacher is then not loaded",
        ),
        Option(
            "--patch-gate",
            "photometric",
            "photometric: use an image only where its refined disparity explains the "
            "neighbour frames better; none: use all",
            ("photometric", "none"),
        ),
        *_REFINER,
    ],
)
REFINEMENT = (
    "patch refinement",
    [
        Option("--patch-refine", False, "refine the disparity patch by patch; the network is its own teacher"),
        Option("--patch-teacher", "none", f"second teacher: {_TEACHERS}"),
        *_REFINER,
    ],
)
INFERENCE = (
    "inference",
    [
        Option("--model-path", "", "path of model.pth"),
        Option("--image-path", "", "image, folder (not recursive) or video"),
        Option("--output-path", "", "folder for the pictures; made where missing"),
        *_size("inference-resize", "the network input"),
        Option("--output-format", ".jpg", "file name extension of the pictures"),
        Option("--save-arrays", False, "also write disparity, depth and class ids as .npy"),
    ],
)

_EVALUATED = (
    "network",
    [
        replace(
            NETWORK[1][0],
            choices=(*METHODS, "dpt"),
            help=f"{NETWORK[1][0].help}; dpt: a frozen teacher, which "
            "--model-load names (dpt-hybrid, dpt-large, dpt-hybrid-kitti, dpt-hybrid-nyu, a file or hf:<model>)",
        ),
        *NETWORK[1][1:],
    ],
)

COMMANDS: dict[str, tuple[str, tuple[tuple[str, list[Option]], ...]]] = {
    "train": (
        "Train depth and segmentation on video and labelled images.",
        (
            SYSTEM,
            NETWORK,
            EXPERIMENT,
            TRAINING,
            DEPTH_TRAINING,
            SEGMENTATION_TRAINING,
            MASKING,
            CONSISTENCY,
            PATCHES,
            DEPTH_VALIDATION,
            SEGMENTATION_VALIDATION,
        ),
    ),
    "eval_depth": (
        "Measure the depth of a trained network.",
        (SYSTEM, _EVALUATED, EXPERIMENT, DEPTH_VALIDATION, REFINEMENT, PICTURES),
    ),
    "eval_segmentation": (
        "Measure the segmentation of a trained network.",
        (SYSTEM, NETWORK, EXPERIMENT, SEGMENTATION_VALIDATION, PICTURES),
    ),
    "eval_pose": (
        "Measure the camera motion of a trained network.",
        (SYSTEM, NETWORK, EXPERIMENT, POSE_VALIDATION, PICTURES),
    ),
    "inference": (
        "Write depth and segmentation of an image, a folder or a video.",
        (SYSTEM, NETWORK, EXPERIMENT, INFERENCE, REFINEMENT),
    ),
}


def options_of(command: str) -> list[Option]:
    """All options of one command, in the order of its help."""
    return [option for _, options in COMMANDS[command][1] for option in options]
