"""What becomes of each option of train.py when a run goes on with another value. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

NETWORK, BETWEEN, NOTED, FREE, START = "refused", "between epochs", "with a warning", "taken", "not looked at"
MEANING = {
    NETWORK: "it is another network, or its numbers mean something else: an error",
    BETWEEN: "taken with a warning; inside an epoch an error, as samples would be seen twice or never",
    NOTED: "taken with a warning: from there on the run learns something else",
    FREE: "taken and told: the run learns the same",
    START: "decides how a run begins",
}
RULES: dict[str, tuple[str, ...]] = {
    NETWORK: (
        "method",
        "model_num_layers",
        "model_num_layers_pose",
        "model_split_pos",
        "model_depth_min",
        "model_depth_max",
        "model_depth_resolutions",
        "model_num_classes",
        "model_attention",
        "model_attention_strips",
        "model_attention_gain",
        "model_aspp",
    ),
    BETWEEN: (
        "nproc_per_node",
        "samples",
        "sys_seed",
        "depth_training_loaders",
        "depth_training_batch_size",
        "segmentation_training_loaders",
        "segmentation_training_batch_size",
        "data_on_missing",
    ),
    NOTED: (
        "sys_cpu",
        "sys_best_effort_determinism",
        "train_precision",
        "train_compile",
        "train_sync_batchnorm",
        "data_intrinsics",
        "data_on_error",
        "train_batches_per_epoch",
        "train_accumulate",
        "train_learning_rate",
        "train_warmup_steps",
        "train_scheduler_step_size",
        "train_scheduler_gamma",
        "train_weight_decay",
        "train_depth_grad_scale",
        "train_segmentation_grad_scale",
        "train_color_jitter",
        "depth_resize_height",
        "depth_resize_width",
        "depth_disparity_smoothness",
        "depth_reprojection_weight",
        "depth_avg_reprojection",
        "depth_disable_automasking",
        "segmentation_resize_height",
        "segmentation_resize_width",
        "segmentation_crop_height",
        "segmentation_crop_width",
        "masking_enable",
        "masking_from_epoch",
        "masking_linear_increase",
        "moving_mask_percent",
        "masking_classes",
        "sd_consistency_weight",
        "sd_consistency_variant",
        "sd_consistency_from_epoch",
        "patch_distill",
        "patch_from_epoch",
        "patch_until_epoch",
        "patch_interval",
        "patch_loss_weight",
        "patch_self_teacher",
        "patch_teacher",
        "patch_gate",
        "patch_size",
        "patch_max",
        "patch_enlarge",
        "patch_blend",
        "patch_fusion_weight",
        "patch_chunk",
    ),
    FREE: (
        "sys_num_workers",
        "dataset_dir",
        "checkpoint_dir",
        "experiment_class",
        "model_name",
        "data_folder",
        "data_cache",
        "data_max_errors",
        "train_num_epochs",
        "train_max_bad_steps",
        "train_checkpoint_frequency",
        "train_tb_frequency",
        "train_print_frequency",
        "patch_teacher_cache",
        "depth_crop_height",
        "depth_crop_width",
        "depth_min_sampling_res",
        "depth_validation_resize_height",
        "depth_validation_resize_width",
        "depth_validation_crop_height",
        "depth_validation_crop_width",
        "depth_validation_loaders",
        "depth_validation_batch_size",
        "depth_validation_fixed_scaling",
        "depth_ratio_on_validation",
        "depth_gt",
        "as_released",
        "segmentation_validation_resize_height",
        "segmentation_validation_resize_width",
        "segmentation_validation_loaders",
        "segmentation_validation_batch_size",
    ),
    START: (
        "resume",
        "overwrite",
        "model_load",
        "model_disable_lr_loading",
        "model_disparity_bias",
        "train_weights_init",
    ),
}
FACTS = {"nproc_per_node": "--nproc-per-node", "samples": "numbers of samples"}
"""What is compared besides the options of train.py: processes of torchrun, and how much each data set holds."""
RATES = ("train_learning_rate", "train_scheduler_step_size", "train_scheduler_gamma", "train_weight_decay")


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """What has changed between two sets of options that both know: rule -> name -> ``--flag new (was old)``.

    `before` may come from JSON.
    """
    now = json.loads(json.dumps(now))
    found: dict[str, dict[str, str]] = {}
    for rule, names in RULES.items():
        for name in names:
            if rule != START and name in before and name in now and before[name] != now[name]:
                text = f"{called(name)} {_word(now[name])} (was {_word(before[name])})"
                found.setdefault(rule, {})[name] = text
    return found


def called(name: str) -> str:
    """What users call an option, or what else is compared."""
    return FACTS.get(name) or f"--{name.replace('_', '-')}"


def _word(value: Any) -> str:
    """A value as the command line has it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return (",".join(map(str, value)) if isinstance(value, list) else str(value)) or "''"
