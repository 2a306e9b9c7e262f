"""The test of the check of populations."""

import pytest
import torch

from .populations import check

pytestmark = pytest.mark.usefixtures("where", "poisoned")

#: What is wrong: the model, and the step in wrong_neurons.py.
MISTAKES = {
    "calcium sees the old voltage": ("stg", "old_voltage"),
    "E does not move within a step": ("hh", "constant_E"),
    "a gate is a thousandth too slow": ("da", "slow_gate"),
    "two states are swapped": ("da", "swapped_pair"),
    "there is no current": ("hh", "no_current"),
    "a ten-thousandth of a conductance": ("stg", "leaky"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_neuron_is_caught(mistake, monkeypatch):
    """It fails the check that the true one passes in the same steps."""
    from lrnn_kernels.triton_kernels.neurons import NEURONS

    from tests.backends.triton import wrong_neurons

    model, name = MISTAKES[mistake]
    check(model, "all", torch.float64, 6)
    wrong = NEURONS[model]._replace(step=getattr(wrong_neurons, name))
    monkeypatch.setitem(NEURONS, model, wrong)
    with pytest.raises(AssertionError):
        check(model, "all", torch.float64, 6)


def test_every_wrong_step_is_used():
    from triton import JITFunction
    from triton.runtime.interpreter import InterpretedFunction

    from tests.backends.triton import wrong_neurons

    kinds = (JITFunction, InterpretedFunction)
    own = {
        name
        for name, x in vars(wrong_neurons).items()
        if isinstance(x, kinds) and x.fn.__module__ == wrong_neurons.__name__
    }
    assert own == {name for _, name in MISTAKES.values()}
