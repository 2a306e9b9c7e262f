"""Brian2, as a C++ program of its own (standalone), by its exponential Euler in float32 (float64
takes as long).

What is timed is that program: Brian2 compiles it once, by default for this processor and with fast
math. Its scheme moves the voltage by the gates before the step, not by those after it: of the third
golden neuron intervals are 74.7 ms then, not 74.5, and 41 of them end in the 3 s.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable

import numpy as np

from .peer import DT, Counts, Peer

#: x_inf is 1 / (1 + exp((v + d) / c)), of KCa times Ca / (Ca + 3).
_GATES = {
    "m_Na": (-5.29, 25.5, "1.32 - 1.26 / (1 + exp((v + 120) / -25))"),
    "h_Na": (
        5.18,
        48.9,
        "0.67 / (1 + exp((v + 62.9) / -10)) * (1.5 + 1 / (1 + exp((v + 34.9) / 3.6)))",
    ),
    "m_Kd": (-11.8, 12.3, "7.2 - 6.4 / (1 + exp((v + 28.3) / -19.2))"),
    "m_CaT": (-7.2, 27.1, "21.7 - 21.3 / (1 + exp((v + 68.1) / -20.5))"),
    "h_CaT": (5.5, 32.1, "105 - 89.8 / (1 + exp((v + 55) / -16.9))"),
    "m_CaS": (-8.1, 33, "1.4 + 7 / (exp((v + 27) / 10) + exp((v + 70) / -13))"),
    "h_CaS": (6.2, 60, "60 + 150 / (exp((v + 55) / 9) + exp((v + 65) / -16))"),
    "m_KCa": (-12.6, 28.3, "90.3 - 75.1 / (1 + exp((v + 46) / -22.7))"),
    "m_A": (-8.7, 27.2, "11.6 - 10.4 / (1 + exp((v + 32.9) / -15.2))"),
    "h_A": (4.9, 56.9, "38.6 - 29.2 / (1 + exp((v + 38.9) / -26.5))"),
    "m_H": (6, 70, "272 + 1499 / (1 + exp((v + 42.2) / -8.73))"),
}
_CHANNELS = ("Na", "Kd", "CaT", "CaS", "KCa", "A", "H", "leak")


def _equations() -> str:
    gates = [
        f"d{name}/dt = ({'Ca / (Ca + 3) * ' if name == 'm_KCa' else ''}"
        f"1 / (1 + exp((v + {d}) / {c})) - {name}) / (({tau}) * ms) : 1"
        for name, (c, d, tau) in _GATES.items()
    ]
    return "\n".join(
        [
            "dv/dt = (k_Na * (50 - v) + k_K * (-80 - v) + k_Ca * (80 - v) + k_H * (-20 - v)"
            " + g_leak * (-50 - v)) / ms : 1",
            "dCa/dt = (0.94 * k_Ca * (80 - v) + 0.05 - Ca) / (20 * ms) : 1",
            "k_Na = g_Na * m_Na**3 * h_Na : 1",
            "k_K = g_Kd * m_Kd**4 + g_KCa * m_KCa**4 + g_A * m_A**3 * h_A : 1",
            "k_Ca = g_CaT * m_CaT**3 * h_CaT + g_CaS * m_CaS**3 * h_CaS : 1",
            "k_H = g_H * m_H : 1",
            *gates,
            *(f"g_{name} : 1 (constant)" for name in _CHANNELS),
        ]
    )


def _prepare(g: np.ndarray, start: np.ndarray, T: float, discard: float) -> Callable[[], Counts]:
    import brian2

    folder = tempfile.TemporaryDirectory(prefix="brian2-")  # removed with the last reference to it
    brian2.prefs.core.default_float_dtype = np.float32
    brian2.set_device("cpp_standalone", build_on_run=False)
    device = brian2.device
    device.reinit()
    device.activate(build_on_run=False)
    brian2.defaultclock.dt = DT * brian2.ms
    group = brian2.NeuronGroup(
        len(g),
        _equations(),
        method="exponential_euler",
        threshold="v >= 10",
        refractory="v >= 0",
        reset="",
        name="stg",
    )
    for name, value in zip(("v", *_GATES, "Ca"), start, strict=True):
        setattr(group, name, value)
    for name, values in zip(_CHANNELS, g.T, strict=True):
        setattr(group, f"g_{name}", values)
    monitor = brian2.SpikeMonitor(group, name="spikes")
    network = brian2.Network(group, monitor)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # float32 has no 1e50, which it looks for
        network.run(T * brian2.ms)
    device.build(directory=folder.name, compile=True, run=False)

    def call() -> Counts:
        device.run(folder.name, with_output=False, run_args=[])
        kept = np.asarray(monitor.t / brian2.ms) >= discard
        return np.bincount(np.asarray(monitor.i)[kept], minlength=len(g))

    return call


PEERS = (
    Peer(
        name="Brian2, C++ standalone",
        packages=("brian2",),
        prepare=_prepare,
        sizes=(64,),
        goal=50.0,
        golden=(58, 111, 41),
    ),
)
