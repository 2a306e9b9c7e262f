"""Populations of conductance-based neurons: their spikes, and their dynamic input conductances.

base = neurons.spiking_population("stg", 1000, seed=0)                # conductances (B, 8)
some = neurons.neuromodulate("stg", base.g, g_s=-10.0, g_u=5.0)       # the same DICs, bursting
spikes, state, record = neurons.simulate("stg", some.g, 6000, discard=3000)
neurons.metrics(spikes).intra_burst_rate                              # Hz, (B,)
neurons.dic("stg", some.g, -51.0)                                     # (B, 3): g_f, g_s, g_u

Units everywhere: mV, ms, mS/cm^2 and uA/cm^2, with a capacitance of 1 uF/cm^2; rates in Hz, and
DICs, by the leak, dimensionless. Models are tables of channels and gates (``model.py``), one in a
file: STG and DA, the neurons of Brandoit, Ernst, Drion and Fyon (PLoS Comput. Biol., 2026), and HH,
the squid's axon. ``oracle.py`` says what a step computes, ``dic.py`` what the conductances are.
"""

from . import datasets, network, recordings
from .compensation import compensate
from .dic import dic, dic_curves, sensitivities, threshold_voltage
from .metrics import (
    FiringClass,
    Metrics,
    find_bursts,
    firing_class,
    intervals,
    isi_cv,
    mean_frequency,
    metrics,
)
from .model import Model, to_siemens
from .models import DA, HH, MODELS, STG
from .network import DICsNet
from .noise import Noise
from .plots import plot_dics, plot_population, plot_raster, plot_voltage
from .populations import Population, monte_carlo, neuromodulate, spiking_population
from .simulate import Simulation, explain, simulate
from .spikes import Spikes, Status
from .state import Record, Recording, State
from .twins import Match, Twins, twins

__all__ = [
    "DA",
    "HH",
    "MODELS",
    "STG",
    "DICsNet",
    "FiringClass",
    "Match",
    "Metrics",
    "Model",
    "Noise",
    "Population",
    "Record",
    "Recording",
    "Simulation",
    "Spikes",
    "State",
    "Status",
    "Twins",
    "compensate",
    "datasets",
    "dic",
    "dic_curves",
    "explain",
    "find_bursts",
    "firing_class",
    "intervals",
    "isi_cv",
    "mean_frequency",
    "metrics",
    "monte_carlo",
    "network",
    "neuromodulate",
    "plot_dics",
    "plot_population",
    "plot_raster",
    "plot_voltage",
    "recordings",
    "sensitivities",
    "simulate",
    "spiking_population",
    "threshold_voltage",
    "to_siemens",
    "twins",
]
