"""The forward pass with its taps: one stage after another.

The stages are the model's own (`PtychoPINN.network_input`, `network`, `assemble`) and the library's
operators (`extract`, `diffract`); `Forward.check` proves that their chain is the model's call. A
difference between backends first shows at the tap behind the stage that made it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ptycho.errors import ModelError
from ptycho.model import PtychoPINN
from ptycho.physics import backend, diffract, extract
from ptycho.quiet import ops
from ptycho.studies.parity.taps import TAPS, TOLERANCE


class Forward:
    """One forward and backward pass of a model over groups of frames.

    Args:
        model: with its weights.
        counts: (B, C, N, N) photons. offsets: (B, C, 2) px, position − group centre.
    """

    def __init__(self, model: PtychoPINN, counts: np.ndarray, offsets: np.ndarray) -> None:
        model.fit_canvas(offsets)
        self.model = model
        self.counts = backend.tensor(np.asarray(counts, np.float32))
        self.offsets = backend.tensor(np.asarray(offsets, np.float32))

    def taps(self) -> dict[str, np.ndarray]:
        """The numbers at every tap, in the order of `TAPS`."""
        seen, features = self.input()
        weights = [w.numpy() for w in self.model.network.trainable_variables]
        size = self.model.require_canvas()
        bump = [np.zeros((self.counts.shape[0], size, size), np.float32) for _ in range(2)]

        def loss(*tensors: Any) -> tuple[Any, dict[str, Any]]:
            return self.chain(seen, features, tensors[2:], tensors[:2])

        _, found, slopes = backend.value_and_gradients(loss, [*bump, *weights])
        numbers = {name: _numpy(value) for name, value in ({"input": seen} | found).items()}
        numbers["canvas_gradient"] = _numpy(slopes[0]) + 1j * _numpy(slopes[1])
        numbers["gradients"] = np.concatenate([_numpy(slope).ravel() for slope in slopes[2:]])
        self.check(numbers["rate"])
        return {each.name: numbers[each.name] for each in TAPS}

    def chain(
        self, seen: Any, features: Any, weights: Any, bump: Any
    ) -> tuple[Any, dict[str, Any]]:
        """(loss, taps) from the network's input on; `bump` is added to the canvas (re, im)."""
        answer = self.answer(seen, weights)
        patches = self.object_patches(answer, features)
        canvas = self.canvas(answer, features)
        # A sum with zeros, so that the loss has a derivative by the canvas.
        canvas = backend.joined(
            tuple(part + more for part, more in zip(backend.planes(canvas), bump, strict=True))
        )
        extracted = self.extracted_patches(canvas)
        wave = self.exit_wave(extracted)
        power = self.power(wave)
        rate = self.rate(power)
        loss = self.loss(rate)
        return loss, {
            "object_patches": patches,
            "canvas": canvas,
            "extracted_patches": extracted,
            "exit_wave": wave,
            "amplitude": ops.sqrt(power),
            "rate": rate,
            "loss": loss,
        }

    # -- the stages ---------------------------------------------------------------------------

    def input(self) -> tuple[Any, Any]:
        """(what the network sees, the whole estimate that it is the centre of, or None)."""
        return self.model.network_input((self.counts, self.offsets))

    def answer(self, seen: Any, weights: Any) -> Any:
        """The network's answer with these weights."""
        network = self.model.network
        fixed = [w.numpy() for w in network.non_trainable_variables]
        return network.stateless_call(list(weights), fixed, seen)[0]

    def object_patches(self, answer: Any, features: Any) -> Any:
        """The answer as object: patches of each frame, or the corrected centre of each canvas."""
        if features is None:
            planes = ops.transpose(answer, (0, 3, 1, 2))
            frames = int(planes.shape[1]) // 2
            return backend.joined((planes[:, :frames], planes[:, frames:]))
        low = int(features.shape[1]) // 2 - int(answer.shape[1]) // 2
        centre = slice(low, low + int(answer.shape[1]))
        corrected = features[:, centre, centre, :2] + answer
        return backend.joined((corrected[..., 0], corrected[..., 1]))[:, None]

    def canvas(self, answer: Any, features: Any) -> Any:
        """Object of each group, complex."""
        return self.model.assemble(answer, features, self.offsets)[0]

    def extracted_patches(self, canvas: Any) -> Any:
        """The object under each frame."""
        return extract(canvas, self.offsets, self.model.N)

    def exit_wave(self, patches: Any) -> Any:
        """Each probe mode times the object."""
        return patches[:, :, None] * self.model.probe_tensor()

    def power(self, wave: Any) -> Any:
        """|far field|² summed over the modes, zero frequency in the centre."""
        side = self.model.N
        light = np.ones((1, side, side), np.complex64)  # the exit wave already has the probe
        return ops.sum(diffract(wave, light), axis=2)

    def rate(self, power: Any) -> Any:
        """Expected counts."""
        return power + np.float32(self.model.scaling.background)

    def loss(self, rate: Any) -> Any:
        """The model's own loss."""
        return self.model.compute_loss(None, self.counts, rate)

    def check(self, rate: np.ndarray) -> float:
        """Largest relative difference from the model's own call; ModelError above 1e-5."""
        own = _numpy(self.model((self.counts, self.offsets)))
        difference = float(np.abs(own - rate).max() / np.abs(own).max())
        if not difference <= TOLERANCE:
            raise ModelError(
                "the tapped stages are not the model",
                where=f"rate, {backend.name()}",
                expected=f"relative difference <= {TOLERANCE:g}",
                got=f"{difference:.3g}",
            )
        return difference


def _numpy(value: Any) -> np.ndarray:
    numbers = backend.concrete(value)
    assert numbers is not None
    return np.array(numbers)
