"""Simulating populations: spikes from conductances."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ..calls.arguments import shape
from ..options import integer, number
from . import arguments
from . import noise as noises
from .choosing import Choice, choose
from .engine import NoiseSettings
from .given import Numbers, numbers
from .model import Model
from .noise import Noise
from .progress import teller
from .running import Run, empty_recording
from .spikes import Spikes
from .state import Kept, Record, Recording, State, begin, recorded, steps_of

#: The default scheme is not accurate beyond (ms).
LARGEST_DT = 0.05
#: Spikes that a neuron has room for at first, for every so many ms, where max_spikes is not given.
SLOTS, SLOTS_MS = 512, 6000.0


class Simulation(NamedTuple):
    """What ``simulate`` gives."""

    spikes: Spikes
    state: State
    record: Recording | None


def explain(
    model: Model | str,
    g: Numbers,
    *,
    dtype: torch.dtype = torch.float32,
    scheme: str = "default",
    backend: str = "auto",
) -> Choice:
    """Which backend ``simulate`` would run with these arguments, and why; raises as it would."""
    model = arguments.model(model)
    device = arguments.conductances(g, model, True).device
    return choose(model, device, dtype, scheme, backend)


@torch.no_grad()
def simulate(
    model: Model | str,
    g: Numbers,
    T: float,
    *,
    dt: float | None = None,
    current: float | Numbers | None = None,
    current_dt: float | None = None,
    noise: float | Numbers | Noise | None = None,
    seed: int = 0,
    discard: float = 0.0,
    threshold: tuple[float, float] = (10.0, 0.0),
    max_spikes: int | None = None,
    record: float | Record | None = None,
    state: State | Numbers | None = None,
    dtype: torch.dtype = torch.float32,
    scheme: str = "default",
    backend: str = "auto",
    progress: bool | Callable[[float], object] = False,
) -> Simulation:
    """Simulates B neurons for T ms: ``spikes, state, record = simulate(STG, g, 6000)``.

    A spike opens where V reaches ``threshold[0]`` and counts once V is below ``threshold[1]``; its
    time is where the line between two steps crosses ``threshold[0]`` upward. The schemes are in
    ``oracle.py``.

    Args:
        model: a model of ``lrnn_kernels.neurons``, or its name, in capitals or not.
        g: conductances (B, channels) in mS/cm^2, in the order of ``model.channel_names``: a
            tensor, an array, or lists of numbers, whose dtype is torch's default one.
        T: ms, a multiple of dt; time goes on from ``state``.
        dt: ms per step; the model's own by default. The default scheme takes up to 0.05.
        current: injected, in uA/cm^2, all the call long: a number, or (B,), one for each row of g;
            or with ``current_dt``, in ms, a waveform (n,) or (B, n) from t = 0 on, linear between
            its samples. Tensors, arrays or lists.
        noise: a noise current: its sigma in uA/cm^2, a number or (B,), or a ``Noise``; drawn from
            ``seed``.
        discard: ms; earlier spikes, by the time from t = 0, are neither kept nor counted.
        threshold: (up, down) in mV.
        max_spikes: of a neuron the first so many are kept, and its status is OVERFLOW where it has
            more; by default all are. Neurons above 85 Hz then run twice, the second time with as
            many slots as they need.
        record: every how many ms to record V, from the start of this call on, or a ``Record`` of
            other states: as they are at multiples of its interval, the end of T not included.
        state: a state that ``simulate`` returned, to go on; or states (B, model.states) at t = 0.
        dtype: in which to compute, float32 or float64.
        scheme: "default", or "exponential_euler", compiled for float64 alone.
        backend: "auto", "cpu", "cuda", "triton" or "reference".
        progress: True for a bar on a terminal; or what is called now and then with how much is
            done, from 0 to 1.

    Returns a ``Simulation``: spikes; state, to go on; and record. Neither NaN, infinite and
    negative conductances nor explosions raise: ``spikes.status`` tells, and no other neuron feels
    them. No gradient flows. Ctrl-C leaves within a fraction of a second. Raises TypeError and
    ValueError for a bad argument, RuntimeError where a named backend cannot run; warns where "auto"
    finds the reference alone.
    """
    model = arguments.model(model)
    g = arguments.conductances(g, model, batched=True)
    if g.requires_grad:
        raise ValueError("g must not require a gradient: simulate has none, pass g.detach()")
    choice = choose(model, g.device, dtype, scheme, backend)
    if (choice.backend, scheme, backend) == ("reference", "default", "auto"):
        message = f"neurons run on the slow reference: {choice.reason}"
        warnings.warn(message, RuntimeWarning, stacklevel=3)
    dt = number("dt", model.dt if dt is None else dt, 0, math.inf, open_low=True)
    if scheme == "default" and dt > LARGEST_DT:
        raise ValueError(f"dt must be at most {LARGEST_DT} ms in the default scheme, got {dt:g}")
    steps = steps_of("T", number("T", T, 0, math.inf), dt)
    kept = Kept(model.name, dt, dtype, scheme, arguments.threshold(threshold))
    state = _started(model, state, g, kept)
    end = state.step + steps
    injected, rate = arguments.current(current, current_dt, g, dtype, dt, end - 1)
    noise, settings, values = _with_noise(model, arguments.noise(noise), seed, state, g.to(dtype))
    every, names = recorded(record, model, dt)
    recording = None
    if names:
        recording = empty_recording(g, dtype, names, dt, every, (state.step, end))
    grows = max_spikes is None
    slots = math.ceil(SLOTS * max(1.0, T / SLOTS_MS)) if grows else max_spikes
    runs = Run(
        model,
        choice.backend,
        scheme,
        g=g.to(dtype),
        values=values,
        slots=integer("max_spikes", slots, 0),
        grows=grows,
        steps=(state.step, end),
        dt=dt,
        discard=number("discard", discard, 0, math.inf),
        threshold=kept.threshold,
        current=injected,
        current_rate=rate,
        noise=settings,
        recording=recording,
        record_every=every,
        tell=teller(progress),
    )
    spikes = runs.spikes()
    return Simulation(spikes, State(kept, end, values, noise, model.states), recording)


def _started(model: Model, state: State | Numbers | None, g: Tensor, kept: Kept) -> State:
    """The state to start from, checked."""
    if state is None:
        return begin(model, model.start(len(g)).to(g.device), kept)
    if isinstance(state, State):
        for name, was, now in zip(Kept._fields, state.kept, kept, strict=True):
            if was != now:
                raise ValueError(f"{name} must be that of state, {was}, got {now}")
        if len(state) != len(g):
            raise ValueError(f"state must be of {len(g)} neurons, got {len(state)}")
        if state.values.device != g.device:
            raise ValueError(
                f"state must be on the device of g, {g.device}, got {state.values.device}"
            )
        return state
    state = numbers("state", state, ", or a State", torch.float64)
    if not state.is_floating_point():
        raise TypeError(f"state must be floating point, got {state.dtype}")
    expected = (len(g), len(model.states))
    if tuple(state.shape) != expected:
        raise ValueError(
            f"state must be a State or have shape {expected}, for {' '.join(model.states)}, got "
            f"{shape(state)}"
        )
    return begin(model, state.to(g.device, torch.float64), kept)


def _with_noise(
    model: Model, noise: Noise | None, seed: int, state: State, g: Tensor
) -> tuple[tuple[Noise, int] | None, NoiseSettings | None, Tensor]:
    """The noise with its seed, as an engine takes it, and the state's numbers with its own."""
    values = state.values.clone()
    if integer("seed", seed, 0) >= 2**64:
        raise ValueError(f"seed must be below 2^64, got {seed}")
    if noise is None:
        if state.noise is not None:
            raise ValueError("noise must be that of state, which has some, got None")
        return None, None, values
    settings = noises.settings(noise, model.sampling, state.kept.dt, g, seed)
    if state.noise is None:
        values[:, -noises.COLUMNS :] = noises.start(settings, state.step)
    else:
        before, their_seed = state.noise
        same = noises.settings(before, model.sampling, state.kept.dt, g, their_seed)
        differs = not noises.same_numbers(settings, same)
        if differs:
            raise ValueError(
                f"noise and seed must draw the numbers of those of state, {before} and "
                f"{their_seed}, got {noise} and {seed}"
            )
    return (noise, seed), settings, values
