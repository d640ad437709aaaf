"""What differs between TensorFlow, PyTorch and JAX: the only module that knows which one runs.

Everything else in `ptycho.physics` is written in `keras.ops`. Fields are handled as tuples of
real planes, (re, im) or (x,), because gradients of real tensors mean the same on every backend,
while those of complex tensors are conjugated in JAX.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import numpy as np

from ptycho.quiet import keras, ops

Planes = tuple[Any, ...]


def name() -> str:
    """ "tensorflow", "torch" or "jax"."""
    return str(keras.backend.backend())


def xla_enabled() -> bool:
    """Whether compiled physics uses XLA: yes, unless USE_XLA_TRANSLATE is 0/false/no/off."""
    return os.environ.get("USE_XLA_TRANSLATE", "1").strip().lower() not in {
        "0",
        "false",
        "no",
        "off",
    }


@contextlib.contextmanager
def deterministic(wanted: bool = True) -> Iterator[None]:
    """Inside: bit-equal repeats on a CPU (TensorFlow's op determinism). After: as it was before.

    TensorFlow keeps the switch for the whole process, where it makes unseeded random ops of the
    embedding program raise; its public API can only turn it on.
    """
    if not wanted or name() != "tensorflow":
        yield
        return
    from tensorflow.python.framework import config

    before = config.is_op_determinism_enabled()
    config.enable_op_determinism()
    try:
        yield
    finally:
        if not before:
            config.disable_op_determinism()


_compiling_with_xla: ContextVar[bool] = ContextVar("compiling_with_xla", default=False)


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function` of tensors; the switch USE_XLA_TRANSLATE is read at every call.

    TensorFlow: a graph, with XLA or without. JAX: `jax.jit`. PyTorch: unchanged, since its
    compiler took minutes for what it saves. Each new shape or dtype compiles anew.
    """

    def under_xla(*args: Any) -> Any:
        with _marked():
            return function(*args)

    under_xla.__name__ = getattr(function, "__name__", "compiled")
    if name() == "tensorflow":
        import tensorflow as tf

        with_xla = tf.function(under_xla, jit_compile=True, autograph=False)
        without = tf.function(function, jit_compile=False, autograph=False)

        @functools.wraps(function)
        def call(*args: Any) -> Any:
            return (with_xla if xla_enabled() else without)(*args)

        call.compiled = with_xla  # type: ignore[attr-defined]
        return call
    if name() == "jax":
        import jax

        return jax.jit(under_xla)  # type: ignore[no-any-return]
    return function


def in_halves(function: Callable[..., Any], batched: int) -> Callable[..., Any]:
    """A `jit` function whose batch is computed as two halves at the same time, on a CPU.

    A loop of an XLA program runs on one core; two programs run on two. The first `batched`
    arguments have the batch axis first, the others are shared; one tensor comes back. An odd
    batch, one of unknown size, and other backends go through in one piece.
    """
    if name() != "tensorflow":
        return function
    import tensorflow as tf

    def both(*args: Any) -> Any:
        split = [tf.split(array, 2) for array in args[:batched]]
        parts = [function(*half, *args[batched:]) for half in zip(*split, strict=True)]
        return tf.concat(parts, axis=0)

    graphs = {on: tf.function(both, autograph=False) for on in (True, False)}

    def call(*args: Any) -> Any:
        size = args[0].shape[0]
        if size is None or size % 2 or tf.config.list_physical_devices("GPU"):
            return function(*args)
        return graphs[xla_enabled()](*args)

    return call


def graph(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` of tensors as one graph in which its `jit` parts are compiled and the rest is not.

    TensorFlow: a graph without XLA, since XLA's convolutions are slower than oneDNN's on a CPU; on
    a GPU all of it is compiled. JAX: `jax.jit`. PyTorch: as it is, without derivatives.
    """
    if name() == "tensorflow":
        import tensorflow as tf

        gpu = bool(tf.config.list_physical_devices("GPU"))
        return tf.function(function, autograph=False, jit_compile=gpu and xla_enabled())  # type: ignore[no-any-return]
    if name() == "jax":
        import jax

        return jax.jit(function)  # type: ignore[no-any-return]
    import torch

    return torch.no_grad()(function)  # type: ignore[no-any-return]


@contextlib.contextmanager
def _marked() -> Iterator[None]:
    token = _compiling_with_xla.set(True)
    try:
        yield
    finally:
        _compiling_with_xla.reset(token)


def serial_windows() -> bool:
    """Whether windows are best moved one after another: in XLA programs for a CPU.

    There a loop of block copies is three times faster than one gather (measured, docs/
    evidence/performance.md); on a GPU, and outside XLA, a loop pays for each step.
    """
    if not _compiling_with_xla.get():
        return False
    if name() == "tensorflow":
        import tensorflow as tf

        return not tf.config.list_physical_devices("GPU")
    import jax

    return bool(jax.default_backend() == "cpu")


def block(array: Any, start: Any, size: Any) -> Any:
    """The block of `array` of this size (integers) that begins at `start` (integers or a tensor).

    TensorFlow's `slice` takes its start as a constant of the XLA program where it can, and then
    compiles the whole program again for every new place (seconds each); here it is data.
    """
    if name() != "tensorflow" or not _compiling_with_xla.get():
        return ops.slice(array, start, size)
    from tensorflow.compiler.tf2xla.python import xla

    return xla.dynamic_slice(array, start, size)


def summed(function: Callable[..., tuple[Any, ...]], *tensors: Any) -> tuple[Any, ...]:
    """Σ over the first axis of each result of `function`, which works row by row.

    In an XLA program for a CPU a loop over the rows: a sum over the first axis there takes all that
    its terms are made of into one loop without vectors (`docs/evidence/performance.md`).

    Args:
        function: called with one row of each of `tensors`, or with all of them at once; what it
            gives for a row is the row of what it gives for all.
        tensors: real, at least one, of one length.
    """
    if not serial_windows():
        return tuple(ops.sum(each, axis=0) for each in function(*tensors))
    rows = int(tensors[0].shape[0])

    def body(row: Any, *totals: Any) -> tuple[Any, ...]:
        more = function(*(tensor[row] for tensor in tensors))
        return (row + 1, *(a + b for a, b in zip(totals, more, strict=True)))

    first = function(*(tensor[0] for tensor in tensors))
    return tuple(ops.while_loop(lambda row, *_: row < rows, body, (1, *first))[1:])


def with_gradient(
    forward: Callable[..., Planes], gradient: Callable[[Planes, Planes], tuple[Any, ...]]
) -> Callable[..., Planes]:
    """`forward(*reals) -> tuple of reals` whose derivative is `gradient(reals, upstream)`."""
    if name() == "tensorflow":
        import tensorflow as tf

        @tf.custom_gradient  # type: ignore[untyped-decorator, unused-ignore]
        def op(*tensors: Any) -> Any:
            return forward(*tensors), lambda *upstream: gradient(tensors, upstream)

        return lambda *tensors: tuple(op(*tensors))
    if name() == "jax":
        import jax

        vjp = jax.custom_vjp(forward)
        vjp.defvjp(lambda *tensors: (forward(*tensors), tensors), gradient)
        return vjp  # type: ignore[no-any-return]
    return _torch_with_gradient(forward, gradient)


def _torch_with_gradient(
    forward: Callable[..., Planes], gradient: Callable[[Planes, Planes], tuple[Any, ...]]
) -> Callable[..., Planes]:
    import torch

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *tensors: Any) -> Any:
            ctx.save_for_backward(*tensors)
            return forward(*tensors)

        @staticmethod
        def backward(ctx: Any, *upstream: Any) -> Any:
            return gradient(ctx.saved_tensors, upstream)

    return lambda *tensors: tuple(Function.apply(*tensors))


def tensor(value: Any) -> Any:
    """A tensor of the backend; NumPy arrays keep their dtype, also float64."""
    if isinstance(value, keras.Variable):
        return ops.convert_to_tensor(value)
    if ops.is_tensor(value):
        return value
    value = np.asarray(value)
    return ops.convert_to_tensor(value, dtype=str(value.dtype))


def tensors(tree: Any) -> Any:
    """Named tuples of arrays as the same of tensors; None stays."""
    return keras.tree.map_structure(lambda leaf: None if leaf is None else tensor(leaf), tree)


def arrays(tree: Any) -> Any:
    """Named tuples of tensors as the same of arrays, complex ones too; None stays."""
    return keras.tree.map_structure(lambda leaf: None if leaf is None else concrete(leaf), tree)


def field(value: Any) -> Any:
    """A tensor that physics can be done with: real or complex of 32 or 64 bits, as it comes.

    Integers, booleans and half precision become float32 (counts read from a file are integers).
    """
    value = tensor(value)
    kept = ("float32", "float64", "complex64", "complex128")
    return value if dtype_of(value) in kept else ops.cast(value, "float32")


def scalar(value: Any, dtype: str) -> Any:
    """A scalar of `dtype`; a Python number does not pass through float32 on its way to float64."""
    if isinstance(value, int | float):
        return tensor(np.asarray(value, dtype))
    return ops.cast(value, dtype)


def concrete(value: Any) -> np.ndarray[Any, Any] | None:
    """The numbers of a small tensor, or None while it is only being traced."""
    if isinstance(value, np.ndarray):
        return value
    if name() == "tensorflow":
        numpy = getattr(value, "numpy", None)
        try:
            return None if numpy is None else np.asarray(numpy())
        except (AttributeError, NotImplementedError):
            return None
    if name() == "jax":
        import jax

        return None if isinstance(value, jax.core.Tracer) else np.asarray(value)
    return None if value.is_meta else np.asarray(value.detach().cpu().numpy())


@dataclasses.dataclass
class Reads:
    """How often numbers came from the device to the host."""

    count: int = 0


_reads: ContextVar[Reads | None] = ContextVar("reads", default=None)


@contextlib.contextmanager
def counting_reads() -> Iterator[Reads]:
    """Inside: each `read` of this thread is counted."""
    reads = Reads()
    token = _reads.set(reads)
    try:
        yield reads
    finally:
        _reads.reset(token)


def read(*tensors: Any) -> list[np.ndarray[Any, Any]]:
    """The numbers of real tensors as float32 arrays: one copy from device to host for all.

    Raises:
        TypeError: one is complex; `concrete` keeps both parts.
    """
    for each in tensors:
        if "complex" in str(each.dtype):
            raise TypeError(f"read copies real tensors, got {each.dtype} of shape {each.shape}")
    shapes = [tuple(int(side) for side in each.shape) for each in tensors]
    flat = ops.concatenate([ops.reshape(ops.cast(each, "float32"), (-1,)) for each in tensors])
    numbers = concrete(flat)
    if (reads := _reads.get()) is not None:
        reads.count += 1
    parts = np.split(np.asarray(numbers), np.cumsum([math.prod(shape) for shape in shapes])[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def lanes() -> int:
    """How many compiled programs may run at the same time.

    A loop of an XLA program runs on one core of a CPU; PyTorch's operators take all of them, and a
    GPU has one queue.
    """
    if name() == "tensorflow":
        import tensorflow as tf

        if not xla_enabled() or tf.config.list_physical_devices("GPU"):
            return 1
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    return 1


def side_by_side(function: Callable[[Any], Any], jobs: Sequence[Any]) -> list[Any]:
    """`function` of each job, all at the same time, the first here; the results in their order."""
    if len(jobs) < 2:
        return [function(job) for job in jobs]
    with ThreadPoolExecutor(len(jobs) - 1) as pool:
        others = pool.map(function, jobs[1:])
        return [function(jobs[0]), *others]


def real_dtype(value: Any) -> str:
    """ "float64" for float64 and complex128, else "float32"."""
    return "float64" if str(dtype_of(value)) in ("float64", "complex128") else "float32"


def dtype_of(value: Any) -> str:
    """The dtype by its common name."""
    return str(keras.backend.standardize_dtype(value.dtype))


def planes(field: Any) -> Planes:
    """(re, im) of a complex tensor, (x,) of a real one."""
    if dtype_of(field).startswith("complex"):
        return ops.real(field), ops.imag(field)
    return (field,)


def joined(parts: Planes) -> Any:
    """The inverse of `planes`."""
    if len(parts) == 1:
        return parts[0]
    if name() == "tensorflow":
        import tensorflow as tf

        return tf.complex(*parts)
    if name() == "jax":
        import jax

        return jax.lax.complex(*parts)
    import torch

    return torch.complex(*(part.contiguous() for part in parts))


def fft2(field: Any) -> Any:
    """Unitary two-dimensional FFT of the last two axes of a complex tensor."""
    rows, cols = (int(side) for side in field.shape[-2:])
    scale = 1.0 / float(np.sqrt(rows * cols))
    if name() == "tensorflow":
        import tensorflow as tf

        return tf.signal.fft2d(field) * tf.constant(scale, field.dtype)
    if name() == "jax":
        import jax.numpy as jnp

        return jnp.fft.fft2(field, norm="ortho")
    import torch

    return torch.fft.fft2(field, norm="ortho")


def ifft2(field: Any) -> Any:
    """The inverse of `fft2`: F⁻¹(x) = conj(F(conj x))."""
    return ops.conj(fft2(ops.conj(field)))


def gather(flat: Any, index: Any) -> Any:
    """flat (B, L), index (B, n) int -> (B, n): each row gathers from its own row."""
    if name() == "tensorflow":
        import tensorflow as tf

        return tf.gather(flat, index, axis=1, batch_dims=1)
    if name() == "torch":
        import torch

        return torch.gather(flat, 1, index.long())
    return ops.take_along_axis(flat, index, axis=1)


def segment_sum(flat: Any, index: Any, count: Any) -> Any:
    """Sums of the entries of `flat` (L,) with equal `index`: (count,), in the dtype of `flat`."""
    if name() == "torch":  # where keras sums in float32
        import torch

        return torch.zeros(count, dtype=flat.dtype, device=flat.device).index_add(0, index, flat)
    return ops.segment_sum(flat, index, num_segments=count)


def value_and_gradients(
    function: Callable[..., tuple[Any, Any]], arguments: Sequence[Any]
) -> tuple[Any, Any, list[Any]]:
    """Of `function(*reals) -> (scalar, more)`: (scalar, more, derivative by each argument)."""
    values = [tensor(argument) for argument in arguments]
    if name() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(values)
            value, more = function(*values)
        return value, more, list(tape.gradient(value, values, unconnected_gradients="zero"))
    if name() == "jax":
        import jax

        places = tuple(range(len(values)))
        (value, more), slopes = jax.value_and_grad(function, places, has_aux=True)(*values)
        return value, more, list(slopes)
    import torch

    values = [each.detach().clone().requires_grad_() for each in values]
    value, more = function(*values)
    found = torch.autograd.grad(value, values, allow_unused=True)
    pairs = zip(found, values, strict=True)
    return value, more, [torch.zeros_like(v) if slope is None else slope for slope, v in pairs]
