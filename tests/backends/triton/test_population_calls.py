"""Calls of Triton's population engine: what is refused, which backend runs, simulate as a whole."""

from dataclasses import replace

import pytest
import torch

from lrnn_kernels import neurons, testing
from lrnn_kernels.neurons import by_triton, choosing
from tests.systems.neurons.engines import GOLDEN

from .populations import CURRENT, DTYPES, make

pytestmark = pytest.mark.usefixtures("where", "poisoned")


def _run(**changes):
    p = make("stg", "noise", torch.float32, neurons=3)
    call = {
        "g": p.g,
        "state": p.state,
        "times": p.times,
        "counts": p.counts,
        "model": "stg",
        **p.options,
        "noise": p.options["noise"]._replace(**changes.pop("noise", {})),
        "first_step": 0,
        "steps": 1,
        "record_states": (0,),
        "record": torch.zeros(1, 1, 3),
        **changes,
    }
    device = testing.device_of("triton")
    call = {name: x.to(device) if hasattr(x, "to") else x for name, x in call.items()}
    tensors = [call.pop(name) for name in ("g", "state", "times", "counts")]
    by_triton.run(call.pop("model"), *tensors, **call)


WRONG = {
    "model": ({"model": "none"}, "the model 'none' has no Triton kernel"),
    "scheme": ({"scheme": "exponential_euler"}, "as written takes float64, got torch.float32"),
    "dtype": ({"g": torch.ones(3, 8).half()}, "g is float32 or float64, got torch.float16"),
    "g": ({"g": torch.zeros(3, 16)[:, ::2]}, "g must be contiguous"),
    "state": ({"state": torch.zeros(3, 25, dtype=torch.float64)}, "state must be .*(3, 26)"),
    "times": ({"times": torch.zeros(3, 5)}, "times must be"),
    "counts": ({"counts": torch.zeros(3, dtype=torch.int32)}, "counts must be"),
    "steps": ({"steps": -1}, "steps are not negative"),
    "first_step": ({"first_step": -1}, "first_step and"),
    "dt": ({"dt": 0.0}, "dt is above 0"),
    "threshold": ({"threshold": (0.0, 1.0)}, "up is not below"),
    "current": ({"current": torch.zeros(2), "steps": 9}, r"current is \(n, 1 or B\)"),
    "short": ({"current": torch.zeros(2, 1), "steps": 9}, "current must reach sample"),
    "sigma": ({"noise": {"sigma": torch.zeros(2)}}, "sigma must be"),
    "neurons": ({"noise": {"neurons": torch.zeros(3)}}, "neurons must be"),
    "every": ({"noise": {"every": 0}}, "every > 0"),
    "sections": ({"noise": {"sections": torch.zeros(6)}}, "sections must be"),
    "record": ({"record": torch.zeros(9, 1, 3)}, "record must be"),
    "record_every": ({"record_every": 0}, "record_every is above 0"),
    "record_states": ({"record_states": (13,)}, "no state has the number 13"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_refused(name):
    """As far as memory safety needs it; what users are told is ``simulate``'s."""
    changes, message = WRONG[name]
    with pytest.raises(RuntimeError, match=message):
        _run(**changes)
    if name == "model":
        _run()


def test_simulate_runs_it():
    """From checks to statuses, with all that a call may have, and goes on from a state."""
    g = torch.tensor(GOLDEN["da"], dtype=torch.float64).repeat(3, 1)
    g[4] = torch.nan
    options = {
        "dt": 0.025,
        "current": CURRENT["da"] * torch.arange(6.0),
        "noise": 300.0,
        "seed": 2**64 - 1,
        "threshold": (-85.0, -95.0),
        "dtype": torch.float64,
    }
    runs = {}
    for backend in ("triton", "reference"):
        given = g.to(testing.device_of(backend))
        begun = neurons.simulate("da", given, 0.2, backend=backend, **options)
        runs[backend] = neurons.simulate(
            "da", given, 0.2, state=begun.state, record=0.1, backend=backend, **options
        )
    got, expected = runs["triton"], runs["reference"]
    assert got.spikes.status.tolist() == expected.spikes.status.tolist()
    assert got.spikes.counts.tolist() == expected.spikes.counts.tolist()
    close = {"rtol": 1e-9, "atol": 1e-9, "equal_nan": True}
    torch.testing.assert_close(got.state.values.cpu(), expected.state.values, **close)
    torch.testing.assert_close(got.record.values.cpu(), expected.record.values, **close)


def test_a_named_backend_runs_or_raises(monkeypatch):
    from lrnn_kernels.triton_kernels.neurons import NEURONS

    g = torch.ones(1, 3, device=testing.device_of("triton"))
    assert neurons.explain("hh", g, backend="triton").reason == "it was asked for"
    written = {"backend": "triton", "scheme": "exponential_euler"}
    assert neurons.explain("hh", g, dtype=torch.float64, **written).backend == "triton"
    with pytest.raises(RuntimeError, match="'exponential_euler' is compiled for float64 alone"):
        neurons.explain("hh", g, **written)
    with pytest.raises(RuntimeError, match="no model 'mine' is compiled"):
        neurons.explain(replace(neurons.HH, name="mine"), g, backend="triton")
    monkeypatch.delitem(NEURONS, "hh")
    with pytest.raises(RuntimeError, match="the model 'hh' has no Triton kernel"):
        neurons.simulate("hh", g, 1.0, backend="triton")


def test_auto_takes_it_where_there_is_no_cuda_engine(monkeypatch):
    """And names a model that it has not."""
    from lrnn_kernels.triton_kernels.neurons import NEURONS

    cuda, missing = torch.device("cuda"), choosing.missing
    monkeypatch.setattr(
        choosing,
        "missing",
        lambda backend, *rest: "no nvcc" if backend == "cuda" else missing(backend, *rest),
    )
    for dtype in DTYPES:
        choice = choosing.choose(neurons.STG, cuda, dtype, "default", "auto")
        assert choice.backend == "triton"
        assert choice.reason.startswith("no nvcc; g is on cuda, for which the triton engine has ")
    monkeypatch.delitem(NEURONS, "stg")
    choice = choosing.choose(neurons.STG, cuda, torch.float32, "default", "auto")
    reason = "no nvcc; the model 'stg' has no Triton kernel"
    assert (choice.backend, choice.reason) == ("reference", reason)
