"""Layers compiled as one graph: for any length and batch, every form of the call, alone and
exported."""

import subprocess
import sys

import pytest
import torch
import torch._dynamo.testing

from lrnn_kernels import nn
from tests.layers.cases import (
    assert_same,
    every_layer,
    flat,
    gradients,
    make,
    plain_layers,
    random_state,
)

IN, H = 3, 4


# Sizes differ from each other and from those of the layer: torch.compile takes equal ones for the
# same.


def _call(layer, T: int, B: int, given: bool):
    torch.manual_seed(T)
    x = torch.randn(B, T, IN, dtype=torch.float64)
    reset = torch.rand(B, T) < 0.3 if given else None
    if not layer.batch_first:
        x, reset = x.transpose(0, 1).contiguous(), None if reset is None else reset.T.contiguous()
    return x, random_state(layer, B) if given else None, reset


def _agree(compiled, layer, T: int, B: int, given: bool) -> None:
    weights = list(layer.parameters())
    outputs, expected = (run(*_call(layer, T, B, given)) for run in (compiled, layer))
    assert_same(outputs, expected)
    assert_same(gradients(outputs, weights), gradients(expected, weights))


def _compile(layer, backend: str = "eager", **options):
    torch.compiler.reset()
    counter = torch._dynamo.testing.CompileCounterWithBackend(backend)
    return torch.compile(layer, backend=counter, fullgraph=True, **options), counter


@every_layer
def test_one_compilation_serves_every_length_and_batch(name):
    """Stacked and in both directions, with states and episodes, with gradients."""
    layer = make(name, IN, H, 2, bidirectional=True)
    compiled, counter = _compile(layer, "aot_eager" if name == "BMRU" else "eager", dynamic=True)
    compilations = []
    for T, B in ((40, 5), (7, 2), (33, 6)):
        _agree(compiled, layer, T, B, given=True)
        compilations.append(counter.frame_count)
    assert (
        compilations[1:] == compilations[:-1]
    )  # the first may take two: numbers are specialized in a second attempt


@plain_layers
def test_sizes_that_change_become_dynamic(name):
    """As torch.compile does of itself at the second size; three layers, batch first, the states'
    own start."""
    layer = make(name, IN, H, 3, batch_first=True)
    compiled, counter = _compile(layer)
    for T, B in ((7, 5), (40, 2), (33, 6), (12, 8)):
        _agree(compiled, layer, T, B, given=False)
    assert counter.frame_count == 2


@pytest.mark.parametrize("layer", [nn.BMRU, nn.FQBMRU])
def test_every_number_of_a_layer_is_a_constant(layer):
    """The numbers of two layers, read from one attribute, which torch.compile would hold as one
    symbol; another number compiles anew."""
    rnn, x = layer(IN, H, 2, batch_first=True), torch.rand(2, 7, IN)
    compiled, _ = _compile(rnn, dynamic=True)
    for width in (1.0, 0.5, 0.25):
        rnn.width = width
        assert torch.equal(compiled(x)[0], rnn(x)[0])
        weights = list(rnn.parameters())
        assert_same(gradients(compiled(x), weights), gradients(rnn(x), weights), rtol=0, atol=0)


@plain_layers
def test_inference_and_autocast_and_steps(name):
    layer = make(name, IN, H)
    call = _call(layer, 6, 5, given=True)
    compiled, _ = _compile(layer)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            assert_same(compiled(*call), layer(*call))
    single = make(name, IN, H).float()
    compiled, _ = _compile(single)
    with torch.autocast("cpu", torch.bfloat16):
        assert_same(compiled(call[0].float()), single(call[0].float()), rtol=0, atol=0)
    compiled, _ = _compile(layer.step)
    state = same = None
    for x in call[0]:
        (y, state), (expected, same) = compiled(x, state), layer.step(x, same)
        assert_same((y, state), (expected, same))


@plain_layers
@pytest.mark.parametrize("strict", [False, True])
def test_export_with_free_sizes(name, strict):
    """One program for every length and batch."""
    layer = make(name, IN, H, bidirectional=True)
    T, B = torch.export.Dim("T", min=2, max=1000), torch.export.Dim("B", min=2, max=100)
    states = tuple({1: B} for _ in layer.cell.states)
    shapes = ({0: T, 1: B}, states if len(states) > 1 else states[0], {0: T, 1: B})
    program = torch.export.export(
        layer, _call(layer, 7, 5, given=True), dynamic_shapes=shapes, strict=strict
    )
    for sizes in ((40, 3), (2, 6)):
        call = _call(layer, *sizes, given=True)
        with torch.no_grad():
            assert_same(flat(program.module()(*call)), flat(layer(*call)))


@plain_layers
def test_one_weight_of_several_layers_and_roles(name):
    """Tied weights, the parameters of one scan among them: gradients add up, as in eager."""
    layer = make(name, H, H, 2)
    for kind, _ in list(layer.named_parameters()):
        if kind.endswith("_l1"):
            setattr(layer, kind, getattr(layer, kind.replace("_l1", "_l0")))
    for kind in ("w_c_l0", "s0_l0", "p2_l0"):
        other = {"w_c_l0": "w_a_l0", "s0_l0": "alpha_l0", "p2_l0": "alpha_l0"}[kind]
        if hasattr(layer, kind):
            setattr(layer, kind, getattr(layer, other))
    compiled, _ = _compile(layer, "aot_eager")
    torch.manual_seed(0)
    x = torch.randn(7, 2, H, dtype=torch.float64)
    weights = list(layer.parameters())
    assert_same(compiled(x), layer(x))
    assert_same(gradients(compiled(x), weights), gradients(layer(x), weights))


def test_importing_brings_no_compiler():
    """torch's own decorators import torch._dynamo, which takes a second."""
    program = "import sys, lrnn_kernels; sys.exit('torch._dynamo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
