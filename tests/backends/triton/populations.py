"""Populations that are small and short enough for Triton's interpreter, which takes 20 to 30 ms for
a step of a program: neurons in all phases, to which the CPU engine has taken them, thresholds in
their middle, and currents that drive them across and back within a few steps.
"""

import functools

import numpy as np
import torch

from lrnn_kernels.neurons import MODELS
from lrnn_kernels.neurons.noise import COLUMNS
from tests.systems.neurons.engines import Population, population, various

DTYPES = (torch.float32, torch.float64)
B = 29
#: With what neurons fire within 60 ms.
CURRENT = {"stg": 0.3, "da": 1.0, "hh": 8.0}
#: uA/cm^2, three steps up and three down.
SWING = 60.0
INPUTS = ("none", "constant", "per neuron", "waveform", "noise", "all")


@functools.cache
def _on_the_way(model: str, neurons: int) -> torch.Tensor:
    """Their states after 60 ms."""
    p = population(model, various(model, neurons), torch.float64, current=CURRENT[model])
    return p.run("operator", 2400).state


def make(model: str, how: str, dtype: torch.dtype, neurons: int = B, **options) -> Population:
    """Neurons on their way, with a current of some kind; numbers are those of float32, so that both
    types start from the same."""
    scale = CURRENT[model]
    each = scale * (1 + 0.1 * torch.arange(neurons, dtype=torch.float64))
    wave = scale + SWING * (-1.0) ** torch.arange(40, dtype=torch.float64)
    current = {
        "constant": scale,
        "per neuron": each[None],
        "waveform": wave[:, None],
        "all": wave[:, None] * each,
    }.get(how)
    if isinstance(current, torch.Tensor):
        current = current.float()
    start = _on_the_way(model, neurons)
    middle = start[:, 0].median().item()
    threshold = middle + 0.3, middle - 0.3
    options = {"threshold": threshold, "record": (0, 1, len(MODELS[model].states) - 1), **options}
    p = population(
        model,
        various(model, neurons).float(),
        dtype,
        current=current,
        current_rate=0.31,
        sigma=10 * scale if how in ("noise", "all") else None,
        **options,
    )
    n = len(MODELS[model].states)
    p.state[:, :n] = start[:, :n].float()
    if how == "all":
        noise = p.options["noise"]
        p.options["noise"] = noise._replace(sigma=(noise.sigma * each / scale).float().to(dtype))
    return p


def check(model: str, how: str, dtype: torch.dtype, steps: int, **options) -> Population:
    """The Triton engine's numbers are the oracle's in double precision."""
    got, expected = (make(model, how, d, **options) for d in (dtype, torch.float64))
    got.run("triton", steps)
    expected.run("oracle", steps)
    V, share, ms = (5e-3, 1e-5, 1e-4) if dtype == torch.float32 else (1e-8, 1e-11, 1e-9)
    n = len(MODELS[model].states)
    error = (got.state - expected.state).abs()
    assert error[:, 0].max() < V, f"V is {error[:, 0].max()} mV off"
    assert (error[:, 1:n] / (1 + expected.state[:, 1:n].abs())).max() < share, "a state"
    assert (error[:, n] / (1 + expected.state[:, n].abs())).max() < V, "E"
    assert torch.equal(got.state[:, n + 1], expected.state[:, n + 1]), "above"
    assert torch.equal(got.state[:, -COLUMNS:], expected.state[:, -COLUMNS:]), "noise, to the bit"
    assert got.counts.tolist() == expected.counts.tolist()
    for a, b in zip(got.spikes(), expected.spikes(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=ms)
    assert (got.recorded.double() - expected.recorded).abs().max() < V
    return got
