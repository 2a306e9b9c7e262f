"""Plots of populations, on matplotlib Axes that the caller makes (pip install
"lrnn-kernels[plot]")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ..options import integer
from . import arguments
from .dic import dic_curves, threshold_voltage
from .given import Numbers, numbers
from .model import Model
from .spikes import Holder, Spikes, held
from .state import Recording

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Of g_f, g_s, g_u.
COLOURS = ("tab:blue", "tab:orange", "tab:green")


def plot_voltage(ax: Axes, recording: Recording, neuron: int = 0, **style: Any) -> None:
    """V(t) of one neuron of a recording: the ``record`` of ``simulate(..., record=0.1)``."""
    if not isinstance(recording, Recording):
        raise TypeError(
            "recording must be the record of simulate(..., record=0.1), every so many ms, got "
            f"{type(recording).__name__}"
        )
    V = recording["V"]
    if integer("neuron", neuron, 0) >= len(V):
        raise ValueError(f"neuron must be below {len(V)}, got {neuron}")
    ax.plot(recording.t.cpu().numpy(), V[neuron].cpu().numpy(), **{"linewidth": 0.8, **style})
    ax.set(xlabel="t (ms)", ylabel="V (mV)")


def plot_raster(ax: Axes, spikes: Spikes | Holder, **style: Any) -> None:
    """A mark for every spike, a line for every neuron."""
    spikes = held(spikes)
    style = {"marker": "|", "linestyle": "none", "color": "black", "markersize": 4, **style}
    ax.plot(spikes.times.cpu().numpy(), spikes.neurons().cpu().numpy(), **style)
    ax.set(xlabel="t (ms)", ylabel="neuron", ylim=(-0.5, max(len(spikes), 1) - 0.5))


def plot_dics(ax: Axes, model: Model | str, g: Numbers, V: Numbers | None = None) -> None:
    """g_f, g_s and g_u of one neuron (channels,) over V, from -80 to -30 mV by default, and its
    threshold; symmetric logarithmic beyond 10."""
    model = arguments.model(model)
    g = arguments.conductances(g, model)
    if g.dim() != 1:
        raise ValueError(f"g must be of one neuron, ({len(g.T)},), got {tuple(g.shape)}")
    V = torch.linspace(-80, -30, 401, dtype=g.dtype) if V is None else numbers("V", V)
    curves = dic_curves(model, g.detach(), V)
    for values, name, colour in zip(curves.T, ("g_f", "g_s", "g_u"), COLOURS, strict=True):
        ax.plot(V.cpu().numpy(), values.cpu().numpy(), label=f"${name}$", color=colour)
    at = threshold_voltage(model, g.detach()).item()
    ax.axhline(0, color="grey", linewidth=0.6)
    if at == at:  # there is one
        ax.axvline(at, color="grey", linewidth=0.8, linestyle="--", label="threshold")
    ax.set_yscale("symlog", linthresh=10)
    ax.set(xlabel="V (mV)", ylabel="DIC (1)")
    ax.legend()


def plot_population(ax: Axes, model: Model | str, g: Numbers, **style: Any) -> None:
    """Parallel coordinates: a line for every neuron of g (B, channels), over its conductances as
    shares of the population's largest, which stand below."""
    model = arguments.model(model)
    g = arguments.conductances(g, model, batched=True).detach().double().cpu()
    largest = g.amax(0) if len(g) else g.new_zeros(len(model.channels))
    shares = g / largest.where(largest > 0, 1.0)
    faint = min(1.0, max(0.02, 20 / max(len(g), 1)))
    ax.plot(shares.T.numpy(), **{"color": "tab:blue", "alpha": faint, "linewidth": 0.8, **style})
    names = zip(model.channel_names, largest.tolist(), strict=True)
    labels = [f"{name}\n{value:.4g}" for name, value in names]
    ax.set_xticks(range(len(labels)), labels, fontsize="small")
    ax.set(xlabel="largest (mS/cm$^2$)", ylabel="share", ylim=(0, 1.05))
