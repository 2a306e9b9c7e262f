"""A neuron of the crustacean stomatogastric ganglion: eight channels, 13 states."""

import torch

from ..curves import Sigmoid, boltzmann
from ..model import Calcium, Channel, Gate, Model, Recipe


def _tau_h_na(V):
    return Sigmoid(0, 0.67, -10, 62.9)(V) * Sigmoid(1.5, 1, 3.6, 34.9)(V)


def _tau_m_cas(V):
    return 1.4 + 7 / (torch.exp((V + 27) / 10) + torch.exp((V + 70) / -13))


def _tau_h_cas(V):
    return 60 + 150 / (torch.exp((V + 55) / 9) + torch.exp((V + 65) / -16))


STG = Model(
    name="stg",
    title="STG neuron",
    source="Liu, Golowasch, Marder and Abbott, J. Neurosci. 18, 1998",
    channels=(
        Channel("Na", 50, (("m_Na", 3), ("h_Na", 1))),
        Channel("Kd", -80, (("m_Kd", 4),)),
        Channel("CaT", 80, (("m_CaT", 3), ("h_CaT", 1))),
        Channel("CaS", 80, (("m_CaS", 3), ("h_CaS", 1))),
        Channel("KCa", -80, (("m_KCa", 4),)),
        Channel("A", -80, (("m_A", 3), ("h_A", 1))),
        Channel("H", -20, (("m_H", 1),)),
        Channel("leak", -50),
    ),
    gates=(
        Gate("m_Na", boltzmann(-5.29, 25.5), Sigmoid(1.32, -1.26, -25, 120)),
        Gate("h_Na", boltzmann(5.18, 48.9), _tau_h_na),
        Gate("m_Kd", boltzmann(-11.8, 12.3), Sigmoid(7.2, -6.4, -19.2, 28.3)),
        Gate("m_CaT", boltzmann(-7.2, 27.1), Sigmoid(21.7, -21.3, -20.5, 68.1)),
        Gate("h_CaT", boltzmann(5.5, 32.1), Sigmoid(105, -89.8, -16.9, 55)),
        Gate("m_CaS", boltzmann(-8.1, 33), _tau_m_cas),
        Gate("h_CaS", boltzmann(6.2, 60), _tau_h_cas),
        Gate("m_KCa", boltzmann(-12.6, 28.3), Sigmoid(90.3, -75.1, -22.7, 46), calcium=3.0),
        Gate("m_A", boltzmann(-8.7, 27.2), Sigmoid(11.6, -10.4, -15.2, 32.9)),
        Gate("h_A", boltzmann(4.9, 56.9), Sigmoid(38.6, -29.2, -26.5, 38.9)),
        Gate("m_H", boltzmann(6, 70), Sigmoid(272, 1499, -8.73, 42.2)),
    ),
    calcium=Calcium(("CaT", "CaS"), factor=0.94, rest=0.05, tau=20.0, start=0.5),
    time_scales=("m_Na", "m_Kd", "m_H"),
    V_start=-70.0,
    V_threshold=-51.0,
    V_range=(-85.0, 75.0),
    dt=0.025,
    sampling=0.1,
    recipe=Recipe(
        leak=(0.007, 0.014),
        ranges={"Kd": (70, 140), "CaT": (3, 7), "CaS": (6, 22), "KCa": (140, 180)},
        solved=("Na", "A", "H"),
        targets=(-6.2, 4.0, 5.0),
        pairs=(
            (("CaS", "A"), lambda g_s, g_u: g_u < 0),
            (("A", "H"), lambda g_s, g_u: g_s >= 0),
            (("CaS", "H"), lambda g_s, g_u: g_s < 0),
        ),
        guesses={"CaS": (34.1202, -2.32966), "CaT": (24.6, -5.14)},
        monte_carlo={
            "Na": 8000,
            "Kd": 350,
            "CaT": 12,
            "CaS": 50,
            "KCa": 250,
            "A": 600,
            "H": 0.7,
            "leak": 0.02,
        },
        modulated=((-20.0, 20.0), (0.0, 20.0)),
        protocol=(6000.0, 3000.0),
    ),
)
