"""The neurons that the tests simulate, and the backends that do it."""

import torch

from lrnn_kernels import neurons
from lrnn_kernels.neurons import choosing

#: Backends that are compiled, for the devices of this machine.
COMPILED = [
    name
    for device in ("cpu", *(["cuda"] if torch.cuda.is_available() else []))
    for name in choosing.COMPILED[device]
    if not choosing.missing(name, torch.float32)
]
assert "cpu" in COMPILED
BACKENDS = ["reference", *COMPILED]
DTYPES = (torch.float32, torch.float64)

STG = torch.tensor(
    [
        [3949.31865, 173.951244, 4.85775179, 21.3629342]
        + [71.512016, 278.628387, 0.305254167, 0.00696430553],
        [7917.8924, 116.54848, 5.046727, 60.678291]
        + [174.92631, 513.28266, 0.40773444, 0.011287525],
        [8684.4932, 128.40515, 4.6434636, 15.98506]
        + [191.81908, 621.82036, 0.45043144, 0.01359243],
    ],
    dtype=torch.float64,
)
DA = torch.tensor(
    [
        [40.312984, 9.3123289, 0.33744875, 0.051297688, 0.2643122, 0.01363569, 0.014601552],
        [37.102996, 30.854513, 0.024965639, 0.055546556, 0.15066417, 0.012584887, 0.013476316],
    ],
    dtype=torch.float64,
)
HH = torch.tensor([[120.0, 36.0, 0.3]], dtype=torch.float64)

#: Some neurons of every model.
CONDUCTANCES = {"stg": STG, "da": DA, "hh": HH}
MODELS = list(neurons.MODELS)


def device_of(backend: str) -> str:
    return "cpu" if backend in ("cpu", "reference") else "cuda"


def simulate(model: str, T: float, backend: str = "reference", g=None, **options):
    """A run of a model's neurons, or of g, in float64 unless told otherwise."""
    g = (CONDUCTANCES[model] if g is None else g).to(device_of(backend))
    options = {"dtype": torch.float64, **options}
    return neurons.simulate(model, g, T, backend=backend, **options)


def same(a: neurons.Simulation, b: neurons.Simulation) -> bool:
    """Whether two runs ended in the same spikes and states, bit for bit."""
    pairs = zip(a.spikes.to_lists(), b.spikes.to_lists(), strict=True)
    return (
        all(x == y for x, y in pairs)
        and torch.equal(a.spikes.counts, b.spikes.counts)
        and torch.equal(a.spikes.status, b.spikes.status)
        and torch.equal(a.state.values.nan_to_num(7.0), b.state.values.nan_to_num(7.0))
    )


def agrees(a: torch.Tensor, b: torch.Tensor, backend: str) -> bool:
    """Whether a neuron's float64 numbers are the same in batches of other sizes: to the bit where
    it is compiled; torch's own loops round the ends of rows otherwise than their middle."""
    if backend in COMPILED:
        return torch.equal(a, b)
    return torch.allclose(a, b, rtol=1e-8, atol=1e-8)
