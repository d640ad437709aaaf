"""`PtychoPINN`: a network between two pieces of physics. No module state.

counts → (untrained estimate) → network → object on the group's canvas → diffraction → counts.
The network never sees the object; it learns from how well its object explains counts.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ptycho.config import BACKGROUND_FLOOR
from ptycho.errors import ConfigError, ModelError, ShapeError
from ptycho.model.inputs import Detector, Dose, mask_array, probe_array
from ptycho.model.prediction import Prediction
from ptycho.nn import build_network, network_defaults, network_spec
from ptycho.physics import (
    Scaling,
    Steps,
    backend,
    canvas_correction,
    canvas_multiple,
    canvas_size_for,
    default_steps,
    expected_counts,
    group_estimate,
    lit_px,
    loss_function,
    patch_merge,
    require_same,
    step_plan,
)
from ptycho.quiet import keras, ops


class SeesCanvas:
    """For a network that corrects the physics estimate of a group's canvas."""

    estimates = True

    def prepared(self, model: PtychoPINN, counts: Any, offsets: Any) -> dict[str, Any]:
        """Offsets, and the estimate instead of counts: (B, P, P, 5)."""
        return {"offsets": offsets, "features": model.features(counts, offsets)}

    def shown(
        self, model: PtychoPINN, inputs: Any, probe: Any, unit: Any, detector: Detector | None
    ) -> tuple[Any, Any]:
        """The lit centre of the estimate (B, W, W, 5), and all of it."""
        counts, offsets, features = inputs
        if features is None:
            features = model.features(counts, offsets, probe, detector)
        low = model.require_canvas() // 2 - model.window // 2
        inner = slice(low, low + model.window)
        return features[:, inner, inner], features

    def objects(
        self, model: PtychoPINN, answer: Any, features: Any, offsets: Any
    ) -> tuple[Any, Any]:
        """The estimate and the correction (B, W, W, 2), added; its light."""
        return canvas_correction(model.window)(features, answer), features[..., 4]


class SeesAmplitudes:
    """For a network that makes patches of the diffraction amplitudes of a group."""

    estimates = False

    def prepared(self, model: PtychoPINN, counts: Any, offsets: Any) -> dict[str, Any]:
        """Counts and offsets."""
        return {"offsets": offsets, "counts": counts}

    def shown(
        self, model: PtychoPINN, inputs: Any, probe: Any, unit: Any, detector: Detector | None
    ) -> tuple[Any, Any]:
        """Normalised amplitudes (B, N, N, C), 0 under the mask."""
        mask = (detector or model.detector()).mask
        counts = ops.maximum(ops.cast(inputs[0], "float32"), 0.0) * mask
        scaled = ops.sqrt(counts) / (model.input_rms if unit is None else unit)
        return ops.transpose(scaled, (0, 2, 3, 1)), None

    def objects(
        self, model: PtychoPINN, answer: Any, features: Any, offsets: Any
    ) -> tuple[Any, Any]:
        """The patches (B, N, N, 2C) merged."""
        return patch_merge(model.require_canvas())(answer, offsets, model.merge_weights())


_SIGHTS: dict[str, SeesCanvas | SeesAmplitudes] = {
    "canvas": SeesCanvas(),
    "amplitudes": SeesAmplitudes(),
}


@keras.saving.register_keras_serializable("ptycho")
class PtychoPINN(keras.Model):
    """A network trained through the forward model of ptychography.

    Inputs are `(counts, offsets)`, or a dict with these keys: counts (B, C, N, N) float32 photons,
    DC-centred; offsets (B, C, 2) px (row, col), position − group centre. The default network may
    be given `features`, its physics estimate made beforehand, instead of counts. The output is
    the expected counts (B, C, N, N); the target is measured counts.

    Args:
        N: frame side in pixels.
        gridsize: g; a group has C = g² frames.
        probe: (K, N, N) or (N, N) complex; Σ|P|² = photons of a frame where the object is 1.
        scaling: measured on the training split; its dose must be the probe's.
        network: name in the registry; `network_options` go to its builder.
        loss: "poisson" (half-deviance) or "mae" (amplitudes).
        probe_trainable, scale_trainable: whether these weights move.
        canvas_size: P; None: grown from the offsets by `fit_canvas`, which `fit`,
            `train_on_batch` and `predict_objects` call.
        estimate_steps: physics steps that make the default network's input: K, or how many at
            each resolution, coarse to fine; None: what suits the probe
            (`ptycho.physics.estimate.default_steps`).
        mask: (N, N), True where the detector counts.
        seed: of the initial weights.

    Raises:
        ShapeError: probe or mask that do not fit N. ConfigError: an unknown network or loss.
    """

    def __init__(
        self,
        N: int,
        gridsize: int,
        probe: Any,
        scaling: Scaling,
        *,
        network: str = "default",
        network_options: dict[str, Any] | None = None,
        loss: str = "poisson",
        probe_trainable: bool = False,
        scale_trainable: bool = False,
        canvas_size: int | None = None,
        estimate_steps: Steps | None = None,
        mask: Any = None,
        seed: int = 0,
    ) -> None:
        super().__init__(name="ptycho_pinn", dtype="float32")
        if loss not in ("poisson", "mae"):
            raise ConfigError("unknown loss", where="loss", expected="poisson or mae", got=loss)
        self.N, self.gridsize = int(N), int(gridsize)
        self._dose = Dose()
        self.scaling = scaling
        self.spec, self.loss_name = network_spec(network), loss
        self.sight = _SIGHTS[self.spec.sees]
        self.network_options = network_defaults(network) | dict(network_options or {})
        self.canvas_size = canvas_size
        self.seed = int(seed)
        self.mask = mask_array(mask, self.N)
        probe = probe_array(probe, self.N)
        steps = default_steps(probe) if estimate_steps is None else estimate_steps
        self.estimate_steps = step_plan(steps, self.N)
        self._prediction = Prediction()
        self.network = build_network(
            network, self.N, self.gridsize**2, seed=seed, **self.network_options
        )
        # In units of its own r.m.s., so that a step of the optimizer means the same at any dose.
        self.probe_unit = float(np.sqrt(np.mean(np.sum(np.abs(probe) ** 2, axis=0))))
        self.lit_px = lit_px(probe)
        self.probe_weight = self.add_weight(
            name="probe",
            shape=(*probe.shape, 2),
            initializer=keras.initializers.Constant(
                np.stack([probe.real, probe.imag], axis=-1) / self.probe_unit
            ),
            trainable=probe_trainable,
        )
        self.log_scale = self.add_weight(
            name="log_scale", shape=(), initializer="zeros", trainable=scale_trainable
        )
        self.built = True

    # -- the pieces of the model ------------------------------------------------------------

    @property
    def scaling(self) -> Scaling:
        """The scales of the training counts."""
        return self._dose.scaling

    @scaling.setter
    def scaling(self, scaling: Scaling) -> None:
        self._dose.scaling = scaling
        self._dose.input_rms.assign(scaling.input_rms)

    @property
    def probe_unit(self) -> float:
        """r.m.s. of the probe's amplitude: what `probe_weight` is in units of."""
        return self._dose.probe_unit

    @probe_unit.setter
    def probe_unit(self, unit: float) -> None:
        self._dose.probe_unit = float(unit)
        self._dose.probe_rms.assign(unit)

    @property
    def input_rms(self) -> Any:
        """The unit of amplitudes as a tensor: a graph that reads it serves every dose."""
        return ops.convert_to_tensor(self._dose.input_rms)

    def adopt(self, other: PtychoPINN) -> None:
        """Take weights, dose and optimizer state of a model of the same shape and settings.

        What is compiled stays: dose and weights are variables of the graph, not constants.
        """
        self.set_weights(other.get_weights())
        self.scaling, self.probe_unit, self.seed = other.scaling, other.probe_unit, other.seed
        for mine, theirs in zip(self.optimizer.variables, other.optimizer.variables, strict=True):
            mine.assign(theirs)

    def probe_tensor(self) -> Any:
        """The probe with the scale in it, (K, N, N) complex, as the optimizer sees it."""
        scaled = self.probe_weight * (self._dose.probe_rms * ops.exp(0.5 * self.log_scale))
        return backend.joined((scaled[..., 0], scaled[..., 1]))

    @property
    def probe(self) -> np.ndarray:
        """The probe now, (K, N, N) complex64."""
        return np.asarray(backend.concrete(self.probe_tensor()), np.complex64)

    def fit_canvas(self, offsets: Any) -> int:
        """Let the canvas hold these offsets (B, C, 2); it only grows. Returns its side P."""
        needed = canvas_size_for(offsets, self.N, multiple=canvas_multiple(self.estimate_steps))
        if self.canvas_size is None or needed > self.canvas_size:
            self.canvas_size = needed
            self.train_function = self.test_function = self.predict_function = None
        return self.canvas_size

    @property
    def window(self) -> int:
        """Side of the canvas' centre that the default network corrects: all that is lit."""
        size = self.require_canvas()
        return min(-(-(self.lit_px + size - self.N) // 4) * 4, size // 4 * 4)

    def require_canvas(self) -> int:
        """P; ModelError while it is not known."""
        if self.canvas_size is None:
            raise ModelError(
                "the canvas size of the model is not known yet",
                where="canvas_size",
                fix="model.fit_canvas(offsets), or PtychoPINN(…, canvas_size=P)",
            )
        return self.canvas_size

    def detector(self, mask: Any = None, background: float | None = None) -> Detector:
        """The training's detector, or what a scan says of its own (0, None: it says nothing)."""
        return Detector(
            self.mask if mask is None else mask_array(mask, self.N),
            max(background, BACKGROUND_FLOOR) if background else self.scaling.background,
        )

    def features(
        self, counts: Any, offsets: Any, probe: Any = None, detector: Detector | None = None
    ) -> Any:
        """The default network's input (B, P, P, 5): the untrained estimate, no gradient."""
        detector = detector or self.detector()
        estimate = group_estimate(
            counts,
            offsets,
            self.probe_tensor() if probe is None else probe,
            steps=self.estimate_steps,
            canvas_size=self.require_canvas(),
            lit_px=self.lit_px,
            mask=detector.mask,
            background=detector.background,
        )
        return ops.stop_gradient(estimate)

    def canvases(self, inputs: Any, training: bool = False) -> tuple[Any, Any]:
        """The groups' objects (B, P, P) complex and their coverage (B, P, P)."""
        offsets = self._unpack(inputs)[1]
        seen, features = self.network_input(inputs)
        return self.assemble(self.network(seen, training=training), features, offsets)

    def network_input(
        self, inputs: Any, *, probe: Any = None, unit: Any = None, detector: Detector | None = None
    ) -> tuple[Any, Any]:
        """What the network is shown, and (of a network that sees a canvas) the whole estimate.

        `probe` and `unit` (r.m.s. of the amplitudes) of counts of another dose than the model's,
        `detector` of another one than the training's.
        """
        return self.sight.shown(self, self._unpack(inputs), probe, unit, detector)

    def assemble(self, answer: Any, features: Any, offsets: Any) -> tuple[Any, Any]:
        """The network's answer → canvases (B, P, P) complex and their coverage (B, P, P)."""
        return self.sight.objects(self, answer, features, offsets)

    def prepared(self, counts: Any, offsets: Any) -> dict[str, Any]:
        """The inputs of a step for these groups: with the physics estimate, where there is one."""
        return self.sight.prepared(self, counts, offsets)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Expected counts (B, C, N, N)."""
        _, offsets, _ = self._unpack(inputs)
        canvas, _ = self.canvases(inputs, training=training)
        return self.expected(canvas, offsets)

    def expected(self, canvas: Any, offsets: Any) -> Any:
        """Counts (B, C, N, N) that objects on their canvases (B, P, P) would give."""
        background = np.float32(self.scaling.background)
        moves = bool(self.probe_weight.trainable or self.log_scale.trainable)
        expect = expected_counts(self.N, probe_moves=moves)
        return expect(canvas, offsets, self.probe_tensor(), background)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        """The loss over the dose (mean counts per pixel), so that it means the same at any dose."""
        value = loss_function(self.loss_name)(y_pred, ops.cast(y, "float32"), self.mask)
        rms = self.input_rms
        return value / (rms * rms if self.loss_name == "poisson" else rms)

    @property
    def loss_unit(self) -> float:
        """`loss` × this = deviance (or amplitude error) per pixel."""
        rms = self.scaling.input_rms
        return rms**2 if self.loss_name == "poisson" else rms

    def _unpack(self, inputs: Any) -> tuple[Any, Any, Any]:
        if isinstance(inputs, dict):
            counts, offsets, features = (
                inputs.get(key) for key in ("counts", "offsets", "features")
            )
        else:
            (counts, offsets), features = inputs, None
        for name, array, tail in (
            ("counts", counts, (self.gridsize**2, self.N, self.N)),
            ("offsets", offsets, (self.gridsize**2, 2)),
        ):
            if array is not None and tuple(array.shape[1:]) != tail:
                raise ShapeError(
                    f"{name} do not fit the model",
                    where=name,
                    expected=f"(B, {', '.join(map(str, tail))})",
                    got=tuple(array.shape),
                )
        if counts is not None and offsets is not None and counts.shape[0] and offsets.shape[0]:
            require_same("counts", counts, "offsets", offsets, 1, "give every group its offsets")
        return counts, offsets, features

    def merge_weights(self) -> Any:
        """Illumination in the part of the patch that the network describes, never zero there."""
        power = ops.sum(ops.sum(ops.square(self.probe_weight), axis=-1), axis=0)
        margin = round(self.N * (1 - self.spec.support) / 2)
        inside = np.zeros((self.N, self.N), np.float32)
        inside[margin : self.N - margin, margin : self.N - margin] = 1.0
        return ops.stop_gradient(backend.tensor(inside) * (power + 1e-3 * ops.max(power)))

    # -- use ----------------------------------------------------------------------------------

    def compile(self, optimizer: Any = "adam", **kwargs: Any) -> None:
        """Keras' compile; the loss is the model's own. On a CPU the convolutions stay off XLA.

        The optimizer is built at once: variables made inside the first step cost a second trace.
        """
        kwargs.setdefault("jit_compile", backend.name() == "jax" or _gpu())
        super().compile(optimizer=optimizer, **kwargs)
        self.optimizer.build(self.trainable_variables)

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Keras' fit, after growing the canvas to the offsets where they are arrays."""
        self._grow(x)
        return super().fit(x, *args, **kwargs)

    def train_on_batch(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Keras' train_on_batch, after growing the canvas to the offsets."""
        self._grow(x)
        return super().train_on_batch(x, *args, **kwargs)

    def test_on_batch(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Keras' test_on_batch, after growing the canvas to the offsets."""
        self._grow(x)
        return super().test_on_batch(x, *args, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Expected counts; Keras' predict, after growing the canvas to the offsets."""
        self._grow(x)
        return super().predict(x, *args, **kwargs)

    def _grow(self, x: Any) -> None:
        offsets = None
        if isinstance(x, dict):
            offsets = x.get("offsets")
        elif isinstance(x, tuple | list) and len(x) == 2:
            offsets = x[1]
        if offsets is not None and (numbers := backend.concrete(offsets)) is not None:
            self.fit_canvas(numbers)

    def predict_objects(
        self,
        counts: Any,
        offsets: Any,
        *,
        probe: Any = None,
        mask: Any = None,
        background: float | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The objects of groups; the answer for a group does not depend on its batch.

        Args:
            counts: (B, C, N, N) photons. offsets: (B, C, 2) px.
            probe: (K, N, N) complex of this scan, at its dose; None: the model's.
            mask: (N, N) of this scan, True where the detector counts; None: the training's.
            background: counts per pixel of this scan; 0, None: the training's.

        Returns:
            canvas (B, P, P) complex64 and coverage (B, P, P) float32, P = `canvas_size`.
        """
        offsets = np.asarray(offsets, np.float32)
        self.fit_canvas(offsets)
        counts = np.asarray(counts, np.float32)
        self._unpack((counts, offsets))
        unit = None
        if probe is not None:
            probe = probe_array(probe, self.N)
            unit = np.float32(self.scaling.input_rms * self._dose_ratio(probe))
        detector = self.detector(mask, background)

        def predict(counts: Any, offsets: Any, probe: Any = None, unit: Any = None) -> Any:
            seen, features = self.network_input(
                (counts, offsets), probe=probe, unit=unit, detector=detector
            )
            return self.assemble(self.network(seen, training=False), features, offsets)

        key = (self.require_canvas(), detector.key)
        canvas, coverage = self._prediction(predict, key, counts, offsets, probe, unit)
        return _numpy(canvas, np.complex64), _numpy(coverage, np.float32)

    def _dose_ratio(self, probe: Any) -> float:
        """√(photons of this probe / photons of the model's): what it does to amplitudes."""
        ours = float(np.sum(np.abs(self.probe) ** 2))
        return float(np.sqrt(np.sum(np.abs(probe) ** 2) / ours))


def _numpy(tensor: Any, dtype: Any) -> np.ndarray:
    return np.asarray(backend.concrete(tensor), dtype)


def _gpu() -> bool:
    if backend.name() != "tensorflow":
        return False
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))
