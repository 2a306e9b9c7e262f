"""From nn.SRC to the integers of the hardware."""

import inspect

import numpy as np
import pytest
import torch

from lrnn_kernels import fixed_point as fp
from lrnn_kernels import nn
from lrnn_kernels.cells import src
from lrnn_kernels.fixed_point import export


def test_the_hardware_has_the_constants_of_the_cell():
    """They are written down twice: fixed_point needs no torch."""
    defaults = inspect.signature(src.src).parameters
    assert {name: defaults[name].default for name in export._CONSTANTS} == export._CONSTANTS
    constants = {p.name for p in defaults.values() if isinstance(p.default, float)}
    assert export._CONSTANTS.keys() == constants - {"width"}  # of the surrogate
    assert (nn.SRC(3, 2).bias_l0 == export.BIAS).all()
    assert export.THRESHOLD == 512 / 1024  # from which on a step of reference.py spikes


def test_each_layer_is_quantized():
    layer = nn.SRC(30, 12, num_layers=3)
    network = fp.from_src(layer, 16, accumulator_bits=14)
    assert network.accumulator_bits == 14
    for k, weights in enumerate(network.weights):
        expected = fp.quantize(getattr(layer, f"weight_ih_l{k}").detach().numpy(), 16)
        assert np.array_equal(weights, expected.weights)


def test_layers_may_have_levels_of_their_own():
    layer = nn.SRC(30, 12, num_layers=2, threshold=0.5)
    network = fp.from_src(layer, [8, 256])
    assert [np.abs(weights).max() for weights in network.weights] == [8, 256]
    with pytest.raises(
        ValueError, match="levels must be one number, or 2, one for each layer, got"
    ):
        fp.from_src(layer, [8])
    with pytest.raises(ValueError, match=r"levels must be in \[1, 32767\], got 0"):
        fp.from_src(layer, (8, 0))


def test_it_spikes_as_often_as_the_layer():
    """Of the same weights; the neurons are alike, not the same."""
    torch.manual_seed(0)
    layer = nn.SRC(50, 40, bias=False, batch_first=True, threshold=0.5)
    spikes = np.random.default_rng(0).random((4, 300, 50)) < 0.1
    with torch.no_grad():
        expected = float(layer(torch.from_numpy(spikes).float())[0].sum())
    found = fp.from_src(layer, 256).run(fp.Traces.pack(spikes)).spikes.sum()
    assert expected > 1000
    assert 0.5 < found / expected < 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"leak": 0.8}, r"layer\.leak must be 0\.9, got 0\.8"),
        ({"r_s": -6.0}, r"layer\.r_s must be -7, got -6"),
        ({"threshold": 0.6}, r"layer\.threshold must be 0\.5 or None, got 0\.6"),
        ({"bidirectional": True}, "must have one direction, got bidirectional=True"),
        ({"initial_state": "learned"}, "must start at zero, got initial_state='learned'"),
    ],
)
def test_what_the_hardware_cannot_be_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        fp.from_src(nn.SRC(5, 3, **options), 16)


def test_a_bias_of_ones_own_is_refused():
    layer = nn.SRC(5, 3, num_layers=2)
    with torch.no_grad():
        layer.bias_l1[1] = -4.5
    with pytest.raises(ValueError, match=r"bias_l1 must be -6 .* got -4\.5: train with bias=False"):
        fp.from_src(layer, 16)
    with torch.no_grad():
        layer.bias_l1[1] = float("nan")
    with pytest.raises(ValueError, match=r"bias_l1 must be -6 .* got nan"):
        fp.from_src(layer, 16)
    for other in (nn.GRU(5, 3), np.ones((3, 5)), None):
        with pytest.raises(TypeError, match=r"layer must be an nn\.SRC, got"):
            fp.from_src(other, 16)
