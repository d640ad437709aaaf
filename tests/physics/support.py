"""Tensors to NumPy and gradients, on whichever backend runs."""

import keras
import numpy as np
from keras import ops

BACKEND = keras.backend.backend()
HAS_FLOAT64 = BACKEND != "jax"  # JAX keeps float32 unless its whole process is switched
EXACT = 1e-10 if HAS_FLOAT64 else 2e-5


def numbers(value):
    return ops.convert_to_numpy(value)


def tensor(array):
    return ops.convert_to_tensor(array, dtype=str(np.asarray(array).dtype))


def gradient(loss, *arrays):
    """Value and gradients of a real scalar `loss(*tensors)`; complex ones as d/dre + i d/dim."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        values = [tf.constant(array) for array in arrays]
        with tf.GradientTape() as tape:
            tape.watch(values)
            total = loss(*values)
        return float(total), [numbers(g) for g in tape.gradient(total, values)]
    if BACKEND == "jax":
        import jax

        values = [tensor(array) for array in arrays]
        total, grads = jax.value_and_grad(loss, argnums=tuple(range(len(arrays))))(*values)
        return float(total), [np.conj(np.asarray(g)) for g in grads]
    import torch

    values = [torch.tensor(array, requires_grad=True) for array in arrays]
    total = loss(*values)
    total.backward()
    return float(total), [value.grad.numpy() for value in values]


def real_part_of_product(a, b):
    """sum Re(conj(a) b) of a constant array and a tensor, as a tensor."""
    if np.iscomplexobj(a):
        re, im = tensor(np.real(a).copy()), tensor(np.imag(a).copy())
        return ops.sum(re * ops.real(b)) + ops.sum(im * ops.imag(b))
    return ops.sum(tensor(a) * b)


def complex_normal(rng, *shape):
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)
