"""A midbrain dopaminergic neuron: seven channels, 8 states."""

import torch

from ..curves import Sigmoid, boltzmann, linoid
from ..model import FAST, ULTRASLOW, Channel, Gate, Model, Pair, Recipe

MAGNESIUM = 1.4  # mM


def _tau_m_na(V):
    """The published constants make the numerator of the rate -0.0070 where its denominator is 0,
    at V = -38.7272: a pole, about which tau is even negative. It is a removable singularity here,
    which moves the numerator by 0.017 mV."""
    opening = 0.4043 / 0.5052 * linoid(0.5052 * V + 19.565)
    return 0.01 + 1 / (opening + 3.0212 * torch.exp(-0.007463 * V))


def _tau_h_na(V):
    return 0.4 + 1 / (5.0754e-4 * torch.exp(-0.063213 * V) + 9.7529 * torch.exp(0.13442 * V))


def _erg_rates(V):
    return (
        0.0036 * torch.exp(0.0759 * V),
        1.2523e-5 * torch.exp(-0.0671 * V),
        0.1 * torch.exp(0.1189 * V),
        0.003 * torch.exp(-0.0733 * V),
    )


def _o_inf(V):
    a0, b0, ai, bi = _erg_rates(V)
    return a0 * bi / (a0 * (ai + bi) + b0 * bi)


def _unblocked(V):
    """NMDA receptors that magnesium leaves open."""
    return 1 / (1 + MAGNESIUM / 10 * torch.exp(-0.08 * V))


DA = Model(
    name="da",
    title="DA neuron",
    source="Qian, Yu, Tucker, Levitan and Canavier, J. Neurophysiol. 112, 2014",
    channels=(
        Channel("Na", 60, (("m_Na", 3), ("h_Na", 1))),
        Channel("Kd", -85, (("n_Kd", 3),)),
        Channel("CaL", 60, (("m_CaL", 2),)),
        Channel("CaN", 60, (("m_CaN", 1),)),
        Channel("ERG", -85, (("o_ERG", 1),)),
        Channel("NMDA", 0, (("block_NMDA", 1),)),
        Channel("leak", -50),
    ),
    gates=(
        Gate("m_Na", boltzmann(-9.7264, 30.0907), _tau_m_na, relaxes_exactly=True),
        Gate("h_Na", boltzmann(10.7665, 54.0289), _tau_h_na),
        Gate("n_Kd", boltzmann(-12, 25), Sigmoid(20, -18, -10, 38)),
        Gate("m_CaL", boltzmann(-2, 50), Sigmoid(30, -28, -3, 45)),
        Gate("m_CaN", boltzmann(-7, 30), Sigmoid(30, -25, -6, 55)),
        Gate("o_ERG", _o_inf, weights=ULTRASLOW),
        Gate("block_NMDA", _unblocked, weights=FAST),
    ),
    pair=Pair(
        ("o_ERG", "i_ERG"),
        _erg_rates,
        start=(_erg_rates(torch.tensor(-90.0, dtype=torch.float64))[0].item(), 0.0),
    ),
    time_scales=("m_Na", "n_Kd", 100.0),
    V_start=-90.0,
    V_threshold=-55.5,
    V_range=(-95.0, 65.0),
    dt=0.0125,
    sampling=0.05,
    recipe=Recipe(
        leak=(0.0087, 0.017),
        ranges={"Kd": (6, 10), "CaL": (0.015, 0.075), "NMDA": (0.012, 0.012)},
        solved=("Na", "CaN", "ERG"),
        targets=(-3.9 * 0.5 - 11, 0.5, 5.0),
        pairs=(
            (("ERG", "Kd"), lambda g_s, g_u: g_s >= 0),
            (("ERG", "CaL"), lambda g_s, g_u: g_s < 0),
        ),
        guesses={},
        monte_carlo={
            "Na": 60,
            "Kd": 20,
            "CaL": 0.1,
            "CaN": 0.12,  # 12 in another source, which does not fit the other conductances
            "ERG": 0.25,
            "NMDA": 0.1846,
            "leak": 0.02,
        },
        modulated=((-10.0, 15.0), (0.0, 20.0)),
        protocol=(12_000.0, 3000.0),
    ),
)
