"""The factory that users of the earlier package know, in its axis order and sign.

`input` (B, N, N, C) is `sqrt(counts) / input_rms`; `input_positions` (B, 1, 2, C) is [x, y] of
−(position − group centre). The conversion to (row, col) of +(position − centre) happens in
`offsets_of`, here and nowhere else.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ptycho.errors import ConfigError, ShapeError
from ptycho.model.pinn import PtychoPINN
from ptycho.physics import Scaling, backend
from ptycho.quiet import keras, ops

_OWN = ("probe", "scaling", "photons")
_MODEL = (
    "network",
    "network_options",
    "loss",
    "probe_trainable",
    "scale_trainable",
    "canvas_size",
    "estimate_steps",
    "mask",
    "seed",
)


def offsets_of(input_positions: Any) -> Any:
    """(B, 1, 2, C) [x, y] of −(position − centre) → (B, C, 2) (row, col) of position − centre."""
    if len(input_positions.shape) != 4 or tuple(input_positions.shape[1:3]) != (1, 2):
        raise ShapeError(
            "input_positions do not have the earlier package's axes",
            where="input_positions",
            expected="(B, 1, 2, C), [x, y]",
            got=tuple(input_positions.shape),
        )
    x, y = input_positions[:, 0, 0], input_positions[:, 0, 1]
    return -ops.stack([y, x], axis=-1)


@keras.saving.register_keras_serializable("ptycho")
class DiffractionToObject(keras.Model):
    """[input, input_positions] → `trimmed_obj` (B, N, N, 1), the centre of each group's canvas."""

    def __init__(self, pinn: PtychoPINN) -> None:
        super().__init__(name="diffraction_to_obj", dtype="float32")
        self.pinn = pinn
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        """The object of each group, complex64."""
        counts, offsets = _counts_and_offsets(self.pinn, inputs)
        canvas, _ = self.pinn.canvases((counts, offsets), training=training)
        return _trimmed(self.pinn, canvas)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Keras' predict, after growing the canvas to the positions."""
        _grow(self, x)
        return super().predict(x, *args, **kwargs)

    def predict_on_batch(self, x: Any) -> Any:
        """Keras' predict_on_batch, after growing the canvas to the positions."""
        _grow(self, x)
        return super().predict_on_batch(x)


@keras.saving.register_keras_serializable("ptycho")
class Autoencoder(DiffractionToObject):
    """[input, input_positions] → [trimmed_obj, amplitude, intensity].

    `amplitude` (B, N, N, C) is in the units of `input`, `intensity` in counts. `fit(x, y)` learns
    from x alone by the model's own loss; y is accepted, as earlier programs pass it, and unused.
    """

    def __init__(self, pinn: PtychoPINN) -> None:
        super().__init__(pinn)
        self.name = "autoencoder"

    def call(self, inputs: Any, training: bool = False) -> list[Any]:  # type: ignore[override]
        """Object, amplitude and intensity of each group."""
        pinn = self.pinn
        counts, offsets = _counts_and_offsets(pinn, inputs)
        canvas, _ = pinn.canvases((counts, offsets), training=training)
        intensity = pinn.expected(canvas, offsets)
        frames_last = ops.transpose(intensity, (0, 2, 3, 1))
        amplitude = ops.sqrt(ops.maximum(frames_last, 1e-12)) / pinn.input_rms
        return [_trimmed(pinn, canvas), amplitude, frames_last]

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        """The physics loss of the predicted intensity against the input's own counts."""
        counts, _ = _counts_and_offsets(self.pinn, x)
        intensity = ops.transpose(y_pred[2], (0, 3, 1, 2))
        return self.pinn.compute_loss(None, counts, intensity)

    def compile(self, optimizer: Any = "adam", **kwargs: Any) -> None:
        """Keras' compile; losses of the earlier package are replaced by the model's own."""
        kwargs.setdefault("jit_compile", backend.name() == "jax")
        keras.Model.compile(self, optimizer=optimizer, **kwargs)

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Keras' fit, after growing the canvas to the positions."""
        _grow(self, x)
        return super().fit(x, *args, **kwargs)

    def train_on_batch(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Keras' train_on_batch, after growing the canvas to the positions."""
        _grow(self, x)
        return super().train_on_batch(x, *args, **kwargs)


def create_model_with_gridsize(
    gridsize: int, N: int, **overrides: Any
) -> tuple[Autoencoder, DiffractionToObject]:
    """(autoencoder, diffraction_to_obj), two views of one new `PtychoPINN` (their `.pinn`).

    Args:
        gridsize: g, frames in a group = g².
        N: frame side in pixels.
        overrides: `probe` (default: a disk of 0.4 N with `photons`), `scaling`, `photons`
            (default 1e6), and the keyword arguments of `PtychoPINN`.

    Raises:
        ConfigError: an unknown override.
    """
    unknown = sorted(set(overrides) - {*_OWN, *_MODEL})
    if unknown:
        raise ConfigError(
            "unknown override",
            where="create_model_with_gridsize",
            expected=", ".join((*_OWN, *_MODEL)),
            got=", ".join(unknown),
        )
    photons = float(overrides.get("photons", 1e6))
    probe = overrides.get("probe")
    probe = _disk(N, photons) if probe is None else np.asarray(probe, np.complex64)
    scaling = overrides.get("scaling") or Scaling(
        float(np.sum(np.abs(probe) ** 2)), float(np.linalg.norm(probe)) / N
    )
    rest = {key: value for key, value in overrides.items() if key in _MODEL}
    pinn = PtychoPINN(N, gridsize, probe, scaling, **rest)
    return Autoencoder(pinn), DiffractionToObject(pinn)


def _disk(N: int, photons: float) -> np.ndarray:
    row, col = np.indices((N, N)) - N // 2
    edge = np.clip(0.2 * N - np.hypot(row, col), -30, 30)
    disk = 1.0 / (1.0 + np.exp(-edge))
    return (disk * np.sqrt(photons / np.sum(disk**2))).astype(np.complex64)


def _counts_and_offsets(pinn: PtychoPINN, inputs: Any) -> tuple[Any, Any]:
    amplitudes, positions = inputs
    counts = ops.square(ops.cast(amplitudes, "float32") * pinn.input_rms)
    return ops.transpose(counts, (0, 3, 1, 2)), offsets_of(ops.cast(positions, "float32"))


def _trimmed(pinn: PtychoPINN, canvas: Any) -> Any:
    margin = (int(canvas.shape[1]) - pinn.N) // 2
    inner = slice(margin, margin + pinn.N)
    return canvas[:, inner, inner, None]


def _grow(model: DiffractionToObject, inputs: Any) -> None:
    positions = np.asarray(inputs[1], np.float32)
    before = model.pinn.canvas_size
    offsets = -positions[:, 0, ::-1].transpose(0, 2, 1)
    if model.pinn.fit_canvas(offsets) != before:
        model.train_function = model.test_function = model.predict_function = None
