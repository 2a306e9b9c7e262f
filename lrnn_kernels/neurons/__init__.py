"""Conductance-based neurons: populations of them, their spikes, dynamic input conductances."""

from .model import Model, to_siemens
from .models import DA, HH, MODELS, STG
from .noise import Noise
from .simulate import Simulation, explain, simulate
from .spikes import Spikes, Status
from .state import Record, Recording, State

__all__ = [
    "DA",
    "HH",
    "MODELS",
    "STG",
    "Model",
    "Noise",
    "Record",
    "Recording",
    "Simulation",
    "Spikes",
    "State",
    "Status",
    "explain",
    "simulate",
    "to_siemens",
]
