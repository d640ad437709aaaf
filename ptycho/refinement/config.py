"""Everything that decides a refinement."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from ptycho.config import CLEAN_FIELD, Clean, Settings

FIRST_WEIGHT = 0.25
"""Of total variation, where held-out counts are to choose it."""


class RefineConfig(Settings):
    """Frozen; unknown keys are errors. Defaults were chosen on the measured Siemens star."""

    seconds: float | None = Field(
        default=None,
        gt=0,
        description="time budget, compilation included; the step schedule fits into it",
    )
    passes: int = Field(
        default=120,
        ge=1,
        description="most passes over all frames, trials of `regularise` included",
    )
    coarse_passes: int = Field(
        default=0,
        ge=0,
        description="passes at half the resolution first (the inner half of the detector), on top "
        "of `passes`: long waves of the phase settle there, which pays where passes are few",
    )
    modes: Annotated[int, Field(ge=1, le=32)] | Literal["auto"] | None = Field(
        default=None,
        description="incoherent probe modes; None: as many as the probe has; auto: chosen by "
        "held-out counts (ptycho.refinement.choice)",
    )
    positions: Literal["off", "frames", "shared", "all"] = Field(
        default="off",
        description="correct the scan positions: what all share (scale, rotation, shear, drift, "
        "backlash), each frame's own, or all of it (true)",
    )
    update_probe: bool = Field(
        default=True, description="recover the probe together with the object"
    )

    opr: Annotated[int, Field(ge=0, le=8)] | Literal["auto"] = Field(
        default=0,
        description="eigenprobes, for a probe that varies from frame to frame; auto: as many as "
        "held-out counts ask for",
    )

    layers: Annotated[int, Field(ge=1, le=8)] | None = Field(
        default=None,
        description="of a thick specimen; None: as many as the scan says, one where it says "
        "nothing",
    )
    layer_distance_m: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="between two layers; None: what the scan says"
    )

    kernel: Literal["bilinear", "cubic", "lagrange6"] = Field(
        default="cubic", description="how the object is read between pixels"
    )
    loss: Literal["amplitude", "poisson", "auto"] = Field(
        default="auto",
        description="of the whole-scan passes; auto: held-out counts choose. The mini-batches "
        "before them go by amplitudes",
    )
    regularise: Annotated[float, Field(ge=0, le=100)] | Literal["auto", "off"] = Field(
        default="auto",
        description="total variation in units of the counts' own error; auto: held-out counts "
        "choose, where the budget is 60 passes or more (36 with a known probe) and not seconds; "
        "off: no whole-scan passes",
    )
    prior: Literal["auto", "off"] | Annotated[str, Field(min_length=1)] = Field(
        default="off",
        description="off; auto: the network in the package; or a file of `ptycho prior train`. It "
        "is tried on the whole-scan image, and held-out counts decide whether its image is the "
        "result (where `loss` or `regularise` is auto)",
    )
    whole_share: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None,
        description="share of the budget for the accelerated passes over the whole scan; None: "
        "all of it where probe and positions are known, else 0.6",
    )
    whole_object_step: float = Field(default=1.0, gt=0, le=1.4)
    whole_probe_step: float = Field(default=0.3, ge=0, le=1)
    flux: bool = Field(default=False, description="fit the light of each frame")

    batch_size: int | None = Field(
        default=None,
        ge=1,
        description="frames an update; None: a twelfth of the scan, at least 8, at most 64 if the "
        "object is one tile",
    )
    object_step: float = Field(default=0.2, gt=0, le=2)
    probe_step: float = Field(default=0.1, ge=0, le=2)
    position_step: float = Field(default=1.0, ge=0, le=2)
    position_start: float = Field(
        default=0.2, ge=0, lt=1, description="share of the budget after which positions move"
    )
    position_limit_px: float = Field(default=4.0, gt=0, description="farthest a position may move")
    momentum: float = Field(default=0.9, ge=0, lt=1)
    damping: Annotated[float, Field(gt=0, le=1)] | Literal["auto"] = Field(
        default=0.5,
        description="α: share of the largest illumination added to each pixel's; auto: chosen by "
        "held-out counts",
    )
    hold_fraction: float = Field(
        default=0.6, ge=0, le=1, description="share of the budget at full step, then cosine decay"
    )
    final_step_fraction: float = Field(default=0.1, gt=0, le=1)

    held_out_fraction: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="share of the frames that give counts to the held-out set",
    )
    held_out_share: float = Field(
        default=0.5,
        gt=0,
        lt=1,
        description="share of those frames' photons that is held out (thinning)",
    )
    patience: int = Field(
        default=10,
        ge=1,
        description="passes without a better held-out deviance before the step decays",
    )
    background: Annotated[float, Field(gt=0)] | Literal["rings"] | None = Field(
        default=None,
        description="counts per pixel added to the model; None: the scan's own; rings: fitted, "
        "one number for each distance from the centre",
    )
    tile_px: Annotated[int, Field(ge=16)] | None = Field(
        default=None,
        description="side of the windows of the object that a large scan is worked on in; None: "
        "512, or twice the frame's side where that is more",
    )
    seed: int = Field(default=0, ge=0)
    checkpoint_s: float = Field(
        default=60, gt=0, description="seconds between checkpoints, which --resume goes on from"
    )
    clean: Clean = CLEAN_FIELD

    @field_validator("positions", mode="before")
    @classmethod
    def _true_is_all(cls, value: object) -> object:
        return "all" if value is True else value

    @model_validator(mode="after")
    def _a_fixed_probe_does_not_vary(self) -> RefineConfig:
        if self.opr != 0 and not self.update_probe:
            raise ValueError("opr varies the probe, and update_probe=false holds it: leave one out")
        return self
