"""jax on the CPU, jitted: lax.scan and lax.associative_scan.

Lanes are sequences and channels in one axis, time goes first, and each thread is a CPU device of
its own that has its share of the lanes: jax runs a loop on one thread otherwise. What a call gives
is donated to the next, so that no call allocates. Affine recurrences have the backward pass that
one writes by hand, the same scan in reverse, which is faster than what jax derives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .peer import Case, Passes, Peer
from .problems import DECAY

#: (T,N) streams and (N,) parameters to y (T,N).
Recurrence = Callable[..., Any]
#: (a, b, reverse) to h of h[t] = a[t] h[t-1] + b[t].
Scan = Callable[[Any, Any, bool], Any]

LANES = "time-major, lanes of sequences and channels in one axis, outputs donated, jit"


def _loop(a, b, reverse: bool):
    from jax import lax
    from jax import numpy as jnp

    def step(h, given):
        h = given[0] * h + given[1]
        return h, h

    return lax.scan(step, jnp.zeros_like(b[0]), (a, b), reverse=reverse)[1]


def _tree(a, b, reverse: bool):
    from jax import lax

    def combine(left, right):
        return left[0] * right[0], left[1] * right[0] + right[1]

    return lax.associative_scan(combine, (a, b), reverse=reverse)[1]


def _linear(scan: Scan) -> Recurrence:
    import jax
    from jax import lax
    from jax import numpy as jnp

    @jax.custom_vjp
    def linear(a, b):
        return scan(a, b, False)

    def forward(a, b):
        y = linear(a, b)
        return y, (a, y)

    def backward(kept, dy):
        a, y = kept
        if scan is _loop:  # which can carry a[t+1] g[t+1], so that nothing is shifted

            def step(carry, given):
                g = given[1] + carry
                return given[0] * g, g

            db = lax.scan(step, jnp.zeros_like(dy[0]), (a, dy), reverse=True)[1]
        else:
            db = scan(jnp.concatenate([a[1:], jnp.zeros_like(a[:1])]), dy, True)
        return jnp.concatenate([jnp.zeros_like(y[:1]), y[:-1] * db[1:]]), db

    linear.defvjp(forward, backward)
    return linear


def _leaky(scan: Scan) -> Recurrence:
    from jax import numpy as jnp

    linear = _linear(scan)
    return lambda x: linear(jnp.full_like(x, DECAY), x)


def _min_gru(scan: Scan) -> Recurrence:
    import jax
    from jax import numpy as jnp

    linear = _linear(scan)

    def y(k, v):
        z = jax.nn.sigmoid(k)
        return linear(1 - z, z * jnp.where(v >= 0, v + 0.5, jax.nn.sigmoid(v)))

    return y


def _brc(scan: Scan) -> Recurrence:
    import jax
    from jax import lax
    from jax import numpy as jnp

    def y(p_a, p_c, p_h, w_a, w_c):
        def step(h, given):
            a = 1 + jnp.tanh(given[0] + w_a * h)
            c = jax.nn.sigmoid(given[1] + w_c * h)
            h = c * h + (1 - c) * jnp.tanh(given[2] + a * h)
            return h, h

        return lax.scan(step, jnp.zeros_like(p_h[0]), (p_a, p_c, p_h))[1]

    return y


# Passes.


def _passes(make: Callable[[Scan], Recurrence], scan: Scan, case: Case) -> Mapping[str, Passes]:
    import jax

    if "jax_num_cpu_devices" in jax.config.values and jax.config.jax_num_cpu_devices < 0:
        jax.config.update("jax_num_cpu_devices", case.threads)
    devices = jax.devices("cpu")[: case.threads]
    settings = {"one device": _on(devices[:1], make(scan), case)}
    if len(devices) > 1:
        settings[f"{len(devices)} devices"] = _on(devices, make(scan), case)
    return settings


def _on(devices: Sequence[Any], y: Recurrence, case: Case) -> Passes:
    """On these devices, each with an equal part of the lanes."""
    import jax
    from jax import numpy as jnp
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    B, T, C = case.dy.shape
    mesh = Mesh(np.array(devices), ("lanes",))

    def spec(ndim: int) -> PartitionSpec:
        return PartitionSpec(*[None] * (ndim - 1), "lanes")

    def placed(x: Tensor) -> Any:
        by_time = x.transpose(0, 1).reshape(T, B * C) if x.dim() == 3 else x.repeat(B)
        # A copy, for jax may share memory with numpy, and what is donated is overwritten.
        array = jnp.array(by_time.numpy(), copy=True)
        return jax.device_put(array, NamedSharding(mesh, spec(array.ndim)))

    def train(*given):
        *inputs, dy = given
        out, pull = jax.vjp(y, *inputs)
        return (out, *pull(dy))

    inputs, dy = [placed(x) for x in case.inputs.values()], placed(case.dy)

    def donating(run: Callable, given: Sequence[Any], outputs: Sequence[Any]) -> Callable:
        """A call without arguments, of which the outputs before are the outputs' memory."""
        specs = tuple(spec(x.ndim) for x in (*given, *outputs))
        mapped = jax.shard_map(
            lambda *both: run(*both[: len(given)]),
            mesh=mesh,
            in_specs=specs,
            out_specs=specs[len(given) :],
            check_vma=False,
        )
        donated = tuple(range(len(given), len(specs)))
        jitted = jax.jit(mapped, donate_argnums=donated, keep_unused=True)
        last = [jnp.copy(x) for x in outputs]

        def call() -> Sequence[Any]:
            last[:] = jitted(*given, *last)
            return jax.block_until_ready(last)

        return call

    def read(name: str, x: Any) -> Tensor:
        x = torch.from_numpy(np.array(x))
        return x.view(B, C).sum(0) if x.dim() == 1 else x.view(T, B, C).transpose(0, 1)

    return Passes(
        ("y", *case.inputs),
        donating(lambda *given: (y(*given),), inputs, [dy]),
        donating(train, [*inputs, dy], [dy, *inputs]),
        read,
    )


def _peer(name: str, problem: str, make: Callable[[Scan], Recurrence], scan: Scan) -> Peer:
    derived = "derived by jax" if make is _brc else "the same scan in reverse, by hand"
    how = f"{LANES}; the backward pass {derived}"
    return Peer(name, problem, how, partial(_passes, make, scan), ("jax",), ("jax",))


LOOP, TREE = "jax lax.scan", "jax lax.associative_scan"
PEERS = [
    _peer(LOOP, "linear_scan", _linear, _loop),
    _peer(TREE, "linear_scan", _linear, _tree),
    _peer(LOOP, "leaky membrane", _leaky, _loop),
    _peer(LOOP, "min_gru(positive)", _min_gru, _loop),
    _peer(LOOP, "brc", _brc, _loop),
]
