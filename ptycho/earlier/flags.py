"""Flags and YAML keys of the earlier package's programs: what they are called here, or why not.

Tables only; `ptycho.earlier.commands` reads them. Names are written with
underscores; the programs take hyphens too.
"""

from __future__ import annotations

SETTINGS = {
    "nepochs": "epochs",
    "batch_size": "batch_size",
    "gridsize": "gridsize",
    "neighbor_count": "neighbours",
    "architecture": "network",
    "probe_trainable": "probe_trainable",
    "intensity_scale_trainable": "scale_trainable",
    "learning_rate": "learning_rate",
    "gradient_clip_val": "clip_norm",
    "lr_min_ratio": "final_learning_rate_fraction",
}
"""Earlier keys of a training that mean the same under another name: `--set NEW=VALUE`."""

_ALL_FRAMES = "nothing: every frame is used, in one group each"
_NETWORK = "--set network=cnn (the published autoencoder) or network=default"
_LOSS = "--set loss=poisson or --set loss=mae"
_READ = "nothing: it is read from the scan"
_PROGRESS = "nothing: progress goes to stderr (2>/dev/null hides it), results to stdout"
_SCHEDULE = "--set learning_rate=…, warmup_steps=…, final_learning_rate_fraction=…"
_TORCH = "KERAS_BACKEND=torch in the environment"

GONE = {
    "N": _READ,
    "nphotons": _READ,
    "n_groups": _ALL_FRAMES,
    "n_images": _ALL_FRAMES,
    "n_subsample": _ALL_FRAMES,
    "subsample_seed": _ALL_FRAMES,
    "enable_oversampling": _ALL_FRAMES,
    "neighbor_pool_size": "--set neighbours=…",
    "sequential_sampling": _ALL_FRAMES,
    "mae_weight": _LOSS,
    "nll_weight": _LOSS,
    "realspace_mae_weight": _LOSS,
    "realspace_weight": _LOSS,
    "torch_loss_mode": _LOSS,
    "n_filters_scale": "--set network_options.…, see --set network=…",
    "model_type": _NETWORK,
    "amp_activation": _NETWORK,
    "learned_input_channels": _NETWORK,
    "generator_output_mode": _NETWORK,
    "object_big": "nothing: the canvas of a group grows from its offsets",
    "pad_object": "nothing: the canvas of a group grows from its offsets",
    "probe_big": "nothing: the network describes what the probe lights",
    "probe_mask": "nothing: the network describes what the probe lights",
    "probe_mask_sigma": "nothing: the network describes what the probe lights",
    "probe_mask_diameter": "nothing: the network describes what the probe lights",
    "probe_scale": "nothing: the probe carries the dose of the scan",
    "gaussian_smoothing_sigma": "nothing: no image is smoothed",
    "positions_provided": "nothing: a scan has positions",
    "set_phi": "nothing: amplitude and phase are always recovered",
    "optimizer": "nothing: Adam",
    "scheduler": _SCHEDULE,
    "lr_warmup_epochs": "--set warmup_steps=…",
    "gradient_clip_algorithm": "nothing: the global norm is clipped (--set clip_norm=…)",
    "backend": "KERAS_BACKEND=tensorflow or KERAS_BACKEND=torch in the environment",
    "quiet": _PROGRESS,
    "verbose": _PROGRESS,
    "console_level": _PROGRESS,
    "debug": "--debug_dump DIR",
    "comparison_plot": "ptycho evaluate OUT.h5 --truth SCAN",
    "phase_vmin": "the .tiff beside the .png: phases in radians, not scaled",
    "phase_vmax": "the .tiff beside the .png: phases in radians, not scaled",
}
"""Earlier flags and keys without a meaning here, and what to type instead."""

GONE_BEGINNINGS = {
    "torch_": _TORCH,
    "fno_": _NETWORK,
    "plateau_": _SCHEDULE,
    "adam_": "nothing: Adam with its usual moments",
    "momentum": "nothing: Adam with its usual moments",
    "weight_decay": "nothing: no weights decay",
    "max_hidden_channels": _NETWORK,
    "resnet_": _NETWORK,
}
"""Likewise, for all names that begin so."""


def replacement(name: str) -> str | None:
    """What to type instead of an earlier name without a meaning here; None: never heard of."""
    if name in GONE:
        return GONE[name]
    return next((to for start, to in GONE_BEGINNINGS.items() if name.startswith(start)), None)
