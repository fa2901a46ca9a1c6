"""Options that several methods share, by group; what belongs to one method only is in its folder. Imports no torch."""

from __future__ import annotations

from dataclasses import replace

from .depth_data import DEPTH_CROP, DEPTH_DATA, DEPTH_SIZE
from .export import CARD, EXPORTED, FORM
from .inference import IMAGES, INPUT_SIZE, INPUTS, OUTPUTS, SHAPE
from .judging import JUDGING
from .keeping import KEEP
from .option import BETWEEN, FREE, NOTED, REFUSED, START, Group, Option, decay_factor, input_size, integers
from .own_data import FRAME_STEP, OWN_DATA

RESNETS = (18, 34, 50, 101, 152)

FETCH = Option("--fetch", False, "download a published network that is named and not there yet", resume=START)
SYSTEM: Group = (
    "system",
    (
        Option("--sys-cpu", False, "compute on the CPU even where a GPU is present", resume=NOTED),
        Option(
            "--sys-device",
            "auto",
            "device to compute on; --sys-cpu is --sys-device cpu; mps, the GPU of a Mac: inference only",
            ("auto", "cpu", "cuda", "mps"),
            resume=NOTED,
        ),
        Option(
            "--sys-num-workers",
            3,
            "loader processes per data set, with torchrun for each of its processes; 0 loads in the main process",
            low=0,
            high=256,
            resume=FREE,
        ),
        Option("--sys-best-effort-determinism", False, "deterministic kernels where they exist (slower)", resume=NOTED),
        Option(
            "--sys-seed", 1, "weights, order and augmentation derive from it", low=0, high=2**31 - 1, resume=BETWEEN
        ),
        Option(
            "--train-precision",
            "auto",
            "floating-point type inside the networks; geometry and losses stay in float32; "
            "auto: bf16 for training on GPUs that have it, else fp32; fp16: with scaled gradients, for older ones",
            ("auto", "fp32", "bf16", "fp16"),
            resume=NOTED,
        ),
        FETCH,
    ),
)
MODEL_LAYERS = Option("--model-num-layers", 18, "layers of the ResNet encoder", RESNETS, network=True)
DEPTH_MAX = Option(
    "--model-depth-max",
    100.0,
    "largest depth: of disparity 0, metres up to scale; of a network that learns from measured depth, metres",
    low=1e-6,
    network=True,
)
VIDEO_NETWORK: Group = (
    "network",
    (
        MODEL_LAYERS,
        Option("--model-num-layers-pose", 18, "layers of the pose ResNet", RESNETS, network=True),
        Option("--model-depth-min", 0.1, "depth of disparity 1, metres up to scale", low=1e-6, network=True),
        DEPTH_MAX,
        Option("--model-depth-resolutions", 4, "number of depth outputs", (1, 2, 3, 4), network=True),
    ),
)
EXPERIMENT: Group = (
    "experiment",
    (
        Option(
            "--dataset-dir", "", "folder with kitti/, cityscapes/ ...; empty: environment IFN_DIR_DATASET", resume=FREE
        ),
        Option("--checkpoint-dir", "", "folder of all runs; empty: environment IFN_DIR_CHECKPOINT", resume=FREE),
        Option(
            "--experiment-class",
            "sgdepth_eccv_test",
            "first folder level of the run; a preset of another method than sgdepth names the method",
            resume=FREE,
        ),
        Option("--model-name", "sgdepth_base", "second folder level of the run", resume=FREE),
        Option(
            "--model-load",
            "",
            "checkpoint folder or published file, below the folder of all runs or absolute, or a name of "
            "docs/models.md",
            resume=START,
            also=("--model-path",),
        ),
        Option(
            "--model-decoder-path",
            "",
            "the other file of a network that was published in two, of encoder and decoder; found as the first one is",
            resume=START,
        ),
        Option(
            "--model-disable-lr-loading",
            False,
            "load the network only: not optimiser, schedule, epoch and step",
            resume=START,
        ),
        Option(
            "--data-on-missing",
            "stop",
            "what to do where image files are missing or cut off: stop before the work "
            "begins, or drop the samples that need them",
            ("stop", "drop"),
            resume=BETWEEN,
        ),
        *OWN_DATA,
    ),
)
DEPTH_VALIDATION: Group = (
    "depth validation",
    (
        *input_size("depth-validation", FREE),
        Option("--depth-validation-crop-height", 192, "accepted, has no effect", low=1, resume=FREE),
        Option("--depth-validation-crop-width", 640, "accepted, has no effect", low=1, resume=FREE),
        Option(
            "--depth-validation-loaders",
            ("kitti_kitti_validation",),
            "data sets, separated by commas; '' for none",
            resume=FREE,
        ),
        Option("--depth-validation-batch-size", 1, "images per batch", low=1, resume=FREE),
        Option(
            "--depth-validation-fixed-scaling",
            0.0,
            "factor on predictions; 0: median scaling per image",
            low=0,
            resume=FREE,
        ),
        Option("--depth-ratio-on-validation", False, "print the scaling ratios of the first quarter only", resume=FREE),
        *JUDGING,
    ),
)
POSE_VALIDATION: Group = (
    "pose validation",
    (
        *input_size("pose-validation"),
        Option("--pose-validation-loaders", (), "data sets, separated by commas"),
        Option("--pose-validation-batch-size", 1, "image pairs per batch", low=1),
        Option("--pose-validation-fixed-scaling", 0.0, "accepted, has no effect"),
        Option(
            "--pose-windows",
            "whole",
            "windows that count: of five frames, or all, with the shorter ones at the end, as in Monodepth2",
            ("whole", "all"),
        ),
    ),
)
PICTURES: Group = (
    "pictures and tables",
    (
        Option("--eval-num-images", 20, "pictures written per data set; of poses there are none", low=0),
        Option(
            "--table-format",
            "text",
            "form of the table over the sets that ends the output; other forms than text are alone on stdout, and all "
            "else goes to stderr",
            ("text", "csv", "json", "markdown", "latex"),
        ),
    ),
)
TRAINING: Group = (
    "training",
    (
        Option("--train-batches-per-epoch", 9645, "batches per epoch", low=1, resume=NOTED),
        Option("--train-num-epochs", 20, "epochs", low=0, resume=FREE),
        Option("--train-checkpoint-frequency", 5, "epochs between checkpoints", low=1, resume=FREE),
        KEEP,
        Option("--train-tb-frequency", 500, "steps between TensorBoard entries", low=1, resume=FREE),
        Option("--train-print-frequency", 2500, "steps between lines of progress", low=1, resume=FREE),
        Option(
            "--train-max-bad-steps",
            10,
            "steps of the optimiser in a row with a NaN or an infinite value after "
            "which the run ends; each of them is left out, named, and the first are kept in bad_steps/",
            low=1,
            resume=FREE,
        ),
        Option(
            "--train-sync-batchnorm",
            False,
            "batch normalisation over the batches of all ranks; GPUs only",
            resume=NOTED,
        ),
        Option(
            "--train-compile",
            False,
            "compile network and losses with torch.compile; the first steps take minutes",
            resume=NOTED,
        ),
        Option(
            "--train-weights-init",
            "pretrained",
            "ImageNet weights or random ones",
            ("pretrained", "scratch"),
            resume=START,
        ),
        Option("--train-color-jitter", "on", "colour augmentation", ("on", "off"), resume=NOTED),
        Option(
            "--data-cache",
            "",
            "folder that keeps images and labels decoded at training size; what is missing there is "
            "made before training begins; empty: decode at every use",
            resume=FREE,
        ),
        Option(
            "--data-on-error",
            "stop",
            "what to do where a file turns out damaged: stop, with the run saved, or skip it "
            "and let other samples take the place of those that need it; evaluation, within training too, always "
            "stops, for its numbers are of all images",
            ("stop", "skip"),
            resume=NOTED,
        ),
        Option(
            "--data-max-errors",
            100,
            "samples with damaged files that --data-on-error skip tolerates; counted from the "
            "start of the command, with torchrun by each process",
            low=1,
            resume=FREE,
        ),
        Option(
            "--resume",
            "never",
            "auto: continue the newest valid checkpoint of this --model-name",
            ("never", "auto"),
            resume=START,
        ),
        Option("--overwrite", False, "discard the checkpoints this run folder holds and start again", resume=START),
    ),
)
OPTIMISER: Group = (
    "optimiser and schedule",
    (
        Option("--train-learning-rate", 1e-4, "learning rate", low=0, resume=NOTED),
        Option("--train-optimizer", "adam", "optimiser", ("adam", "adamw", "sgd"), resume=REFUSED),
        Option(
            "--train-adam-eps", 1e-8, "what adam and adamw add to the root of the second moment", low=0, resume=REFUSED
        ),
        Option(
            "--train-weight-decay",
            0.0,
            "L2 penalty of adam and sgd; adamw takes it from the weights",
            low=0,
            resume=NOTED,
        ),
        Option(
            "--train-warmup-steps",
            0,
            "steps of the optimiser over which the learning rate rises from 0; from scratch some hundred keep "
            "the disparity from collapsing before the motion is found",
            low=0,
            resume=NOTED,
        ),
        Option(
            "--train-accumulate",
            1,
            "batches whose gradients are added up for one step of the optimiser; epochs and "
            "the log count batches, warm-up counts steps of the optimiser",
            low=1,
            resume=NOTED,
        ),
        Option(
            "--train-scheduler",
            "step",
            "how the learning rate decays: every so many epochs, at the milestones, or along a curve",
            ("step", "multistep", "cosine", "sqrt", "exponential"),
            resume=NOTED,
            leans_on="train_num_epochs",
            leans=lambda values: values.get("train_scheduler") in ("cosine", "sqrt"),
        ),
        Option("--train-scheduler-step-size", 15, "epochs until the learning rate decays", low=1, resume=NOTED),
        Option(
            "--train-scheduler-milestones",
            (),
            "epochs after which multistep decays, separated by commas",
            kind=integers,
            resume=NOTED,
        ),
        Option(
            "--train-scheduler-gamma",
            0.1,
            "factor of the decay; 'released': the learning rate itself, as the published code has it",
            kind=decay_factor,
            resume=NOTED,
        ),
        Option("--train-scheduler-eta-min", 5e-6, "learning rate at which cosine and sqrt end", low=0, resume=NOTED),
        Option(
            "--train-final-epochs",
            0,
            "so many of the last epochs follow after cosine and sqrt have ended, at their last rate",
            low=0,
            resume=NOTED,
        ),
    ),
)
DEPTH_TRAINING: Group = (
    "depth training",
    (
        *DEPTH_DATA,
        FRAME_STEP,
        *DEPTH_SIZE,
        *DEPTH_CROP,
        Option("--depth-disparity-smoothness", 1e-3, "weight of the smoothness term", low=0, resume=NOTED),
        Option(
            "--depth-reprojection-weight",
            1.0,
            "weight of the whole photometric loss with its smoothness",
            low=0,
            resume=NOTED,
        ),
        Option(
            "--depth-min-sampling-res",
            10000,
            "accepted, has no effect (nor had it in the published code)",
            low=3,
            resume=FREE,
        ),
        Option("--depth-avg-reprojection", False, "mean instead of minimum over the neighbour frames", resume=NOTED),
        Option("--depth-disable-automasking", False, "keep pixels that look the same without motion", resume=NOTED),
    ),
)
MODEL_PATH = Option(
    "--model-path", "", "model.pth, its folder, a published file or folder, or a name of docs/models.md"
)
INFERENCE: Group = (
    "inference",
    (
        MODEL_PATH,
        Option("--list-models", False, "list the networks that are known by name, and those at hand, and exit"),
        *INPUTS,
        *INPUT_SIZE,
        *SHAPE,
        *OUTPUTS,
    ),
)
EXPORT_SIZE = (replace(INPUT_SIZE[0], also=("--height",)), replace(INPUT_SIZE[1], also=("--width",)))
EXPORT: Group = ("export", (FETCH, MODEL_PATH, *EXPORTED, *EXPORT_SIZE, *FORM, IMAGES, *CARD))
