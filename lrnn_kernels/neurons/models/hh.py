"""The squid's giant axon, at 6.3 degrees Celsius, in today's sign of the voltage (rest at -65 mV):
three channels, 4 states."""

import torch

from ..curves import linoid
from ..model import Channel, Gate, Model


def _m_rates(V):
    return linoid((V + 40) / 10), 4 * torch.exp((V + 65) / -18)


def _h_rates(V):
    return 0.07 * torch.exp((V + 65) / -20), torch.sigmoid((V + 35) / 10)


def _n_rates(V):
    return 0.1 * linoid((V + 55) / 10), 0.125 * torch.exp((V + 65) / -80)


def _gate(name: str, rates) -> Gate:
    """A gate that opens and closes at rates a, b per ms."""

    def x_inf(V):
        a, b = rates(V)
        return a / (a + b)

    def tau(V):
        a, b = rates(V)
        return 1 / (a + b)

    return Gate(name, x_inf, tau)


HH = Model(
    name="hh",
    title="Hodgkin-Huxley axon",
    source="Hodgkin and Huxley, J. Physiol. 117, 1952",
    channels=(
        Channel("Na", 50, (("m_Na", 3), ("h_Na", 1))),
        Channel("K", -77, (("n_K", 4),)),
        Channel("leak", -54.387),
    ),
    gates=(_gate("m_Na", _m_rates), _gate("h_Na", _h_rates), _gate("n_K", _n_rates)),
    time_scales=("m_Na", "n_K", 100.0),
    V_start=-65.0,
    V_threshold=-55.0,
    V_range=(-90.0, 60.0),
    dt=0.025,
    sampling=0.1,
)
