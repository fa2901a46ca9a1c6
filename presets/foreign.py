"""Flags that other repositories have (Monodepth2, BTS, LapDepth, timm, Lightning), and ours for them."""

from __future__ import annotations

from collections.abc import Collection

_LOADERS = (
    "the data sets are --depth-training-loaders",
    "the data sets are --depth-validation-loaders",
    "the data sets are --segmentation-validation-loaders",
    "the data sets are --pose-validation-loaders",
)
_JUDGED = (
    "the data sets are --depth-validation-loaders",
    "the data sets are --segmentation-validation-loaders",
    "the data sets are --pose-validation-loaders",
)
_HEIGHT = (
    "the input height is --depth-resize-height",
    "the input height is --depth-validation-resize-height",
    "the input height is --segmentation-validation-resize-height",
    "the input height is --pose-validation-resize-height",
    "the input height is --inference-resize-height",
)
_WIDTH = (
    "the input width is --depth-resize-width",
    "the input width is --depth-validation-resize-width",
    "the input width is --segmentation-validation-resize-width",
    "the input width is --pose-validation-resize-width",
    "the input width is --inference-resize-width",
)
_BATCH_SIZE = (
    "the batch size is --depth-training-batch-size",
    "the batch size is --depth-validation-batch-size",
    "the batch size is --segmentation-validation-batch-size",
    "the batch size is --pose-validation-batch-size",
)
_RATE = ("the learning rate is --train-learning-rate",)
_EPOCHS = ("the number of epochs is --train-num-epochs",)
_STEPS = ("the number of steps per epoch is --train-batches-per-epoch",)
_WORKERS = ("the number of loader processes is --sys-num-workers",)
_DATA = ("the folder of all data sets is --dataset-dir",)
_RUNS = ("the folder of all runs is --checkpoint-dir",)
_NAME = ("the name of the run is --model-name",)
_CHECKPOINT = ("the checkpoint is --model-path", "the checkpoint is --model-load")
_LAYERS = ("the number of layers is --model-num-layers",)
_NEAREST = ("the smallest depth is --model-depth-min",)
_FARTHEST = ("the largest depth is --model-depth-max",)
_SMOOTHNESS = ("the weight of the smoothness is --depth-disparity-smoothness",)
_SEED = ("the seed is --sys-seed",)
_NO_GPU = ("the CPU is chosen by --sys-cpu",)
_DEVICE = ("the device is --sys-device, one GPU of several the environment variable CUDA_VISIBLE_DEVICES",)
_PRECISION = ("the precision is --train-precision",)
_PROCESSES = ("torchrun --nproc-per-node starts one process per GPU; leave it out",)
_FILES = ("images are found with any ending; leave it out",)
_IMAGE = ("images to work on are --image-path",)
_OUTPUT = ("the folder for results is --output-path", "the name of the folder for results is --model-name")
_WARMUP = ("the number of warm-up steps is --train-warmup-steps",)
_SCALING = ("the factor on predictions is --depth-validation-fixed-scaling",)
_ACCUMULATE = ("the number of batches per step of the optimiser is --train-accumulate",)

FOREIGN: dict[str, tuple[str, ...]] = {
    "accumulate_grad_batches": _ACCUMULATE,
    "amp": _PRECISION,
    "avg_reprojection": ("the mean over the neighbour frames is --depth-avg-reprojection",),
    "b": _BATCH_SIZE,
    "backbone": ("the encoder is --model-backbone",),
    "base_lr": _RATE,
    "batch_size": _BATCH_SIZE,
    "bs": _BATCH_SIZE,
    "checkpoint": _CHECKPOINT,
    "checkpoint_path": _CHECKPOINT,
    "ckpt": _CHECKPOINT,
    "ckpt_path": _CHECKPOINT,
    "compile": ("compilation is --train-compile",),
    "cpu": _NO_GPU,
    "data": _DATA,
    "data_dir": _DATA,
    "data_path": _DATA,
    "data_path_eval": _DATA,
    "dataset": _LOADERS,
    "decay": ("the weight decay is --train-weight-decay",),
    "device": _DEVICE,
    "devices": _PROCESSES,
    "disable_automasking": ("keeping such pixels is --depth-disable-automasking",),
    "disable_median_scaling": _SCALING,
    "disparity_smoothness": _SMOOTHNESS,
    "eigen_crop": ("the window of the truth is --depth-crop",),
    "epochs": _EPOCHS,
    "eval_split": _JUDGED,
    "experiment_name": _NAME,
    "exp_name": _NAME,
    "ext": _FILES,
    "fp16": _PRECISION,
    "garg_crop": ("the window of the truth is --depth-crop",),
    "gpu": _DEVICE,
    "gpu_id": _DEVICE,
    "gpu_num": _DEVICE,
    "gpus": _PROCESSES,
    "gt_path": _DATA,
    "gt_path_eval": _DATA,
    "height": _HEIGHT,
    "image": _IMAGE,
    "image_folder": _IMAGE,
    "img_height": _HEIGHT,
    "img_width": _WIDTH,
    "init_lr": _RATE,
    "input": _IMAGE,
    "input_height": _HEIGHT,
    "input_width": _WIDTH,
    "j": _WORKERS,
    "learning_rate": _RATE,
    "limit_train_batches": _STEPS,
    "load": _CHECKPOINT,
    "load_from": _CHECKPOINT,
    "load_weights_folder": _CHECKPOINT,
    "log_dir": _RUNS,
    "log_directory": _RUNS,
    "log_frequency": ("the steps between log entries are --train-tb-frequency",),
    "log_freq": ("the steps between log entries are --train-tb-frequency",),
    "lr": _RATE,
    "max_depth": _FARTHEST,
    "max_depth_eval": ("the range of the truth ends at --depth-cap",),
    "max_epochs": _EPOCHS,
    "min_depth": _NEAREST,
    "min_depth_eval": ("the range of the truth is part of --depth-protocol",),
    "milestones": ("the milestones are --train-scheduler-milestones",),
    "model": ("the method is --method",),
    "name": _NAME,
    "no_cuda": _NO_GPU,
    "num_classes": ("the number of classes is --model-num-classes",),
    "num_epochs": _EPOCHS,
    "num_layers": _LAYERS,
    "num_scales": ("the number of depth outputs is --model-depth-resolutions",),
    "num_threads": _WORKERS,
    "num_workers": _WORKERS,
    "opt": ("the optimiser is --train-optimizer",),
    "optim": ("the optimiser is --train-optimizer",),
    "optimizer": ("the optimiser is --train-optimizer",),
    "output": _OUTPUT,
    "output_dir": _OUTPUT,
    "output_directory": _OUTPUT,
    "png": _FILES,
    "pred_depth_scale_factor": _SCALING,
    "precision": _PRECISION,
    "pretrained": ("the weights to begin with are --train-weights-init", *_CHECKPOINT),
    "print_freq": ("the steps between lines of progress are --train-print-frequency",),
    "save_frequency": ("the epochs between checkpoints are --train-checkpoint-frequency",),
    "sched": ("the schedule is --train-scheduler",),
    "scheduler": ("the schedule is --train-scheduler",),
    "scheduler_gamma": ("the factor of the decay is --train-scheduler-gamma",),
    "scheduler_step_size": ("the epochs until the learning rate decays are --train-scheduler-step-size",),
    "seed": _SEED,
    "smoothness_weight": _SMOOTHNESS,
    "split": _LOADERS,
    "steps_per_epoch": _STEPS,
    "sync_bn": ("synchronised batch normalisation is --train-sync-batchnorm",),
    "test_batch_size": _BATCH_SIZE,
    "use_local_crop": ("the enlarged windows are --local-crop",),
    "use_patch_reshuffle": ("the swapped blocks are --patch-reshuffle",),
    "warmup_steps": _WARMUP,
    "wd": ("the weight decay is --train-weight-decay",),
    "weight_decay": ("the weight decay is --train-weight-decay",),
    "weights": _CHECKPOINT,
    "weights_init": ("the weights to begin with are --train-weights-init",),
    "width": _WIDTH,
    "workers": _WORKERS,
    "world_size": _PROCESSES,
}
"""By name without dashes, with underscores: what to say, the first whose flags the command at hand has."""


def answer(flag: str, known: Collection[str]) -> str:
    """What to use instead of a flag: ours in another spelling, or what it is called here; "" where nobody knows.

    known: flags that can be given
    """
    dashed = "--" + flag.lstrip("-").replace("_", "-")
    if dashed != flag and dashed in known:
        return f"write {dashed}"
    for sentence in FOREIGN.get(flag.lstrip("-").replace("-", "_"), ()):
        ours = [word.rstrip(",;") for word in sentence.split() if word.startswith("--") and word != "--nproc-per-node"]
        if all(name in known for name in ours):
            return sentence
    return ""
