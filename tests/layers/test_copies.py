"""Between a layer's GEMM and its scan no activation is copied, forward or backward: the profiler
counts."""

import math

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from lrnn_kernels import nn
from lrnn_kernels.calls.run import run as run_cell
from tests.layers.cases import PLAIN, plain_layers

B, T, IN, H = 4, 64, 24, 16
COPIES = {
    "aten::cat",
    "aten::copy_",
    "aten::clone",
    "aten::contiguous",
    "aten::stack",
    "aten::index",
    "aten::slice_backward",
}


def copied(layer, x, dy) -> list[str]:
    """Names of the copies of activations in one training step; an activation has a value per
    batch element, step and unit."""

    def train():
        out, _ = layer(x)
        out.backward(dy)

    train()  # lets what is set up once be set up
    layer.zero_grad()
    x.grad = None
    with profile(
        activities=[ProfilerActivity.CPU], record_shapes=True, profile_memory=True
    ) as profiler:
        train()
    names = []
    for event in profiler.events():
        # addmm writes the bias to its output before it multiplies: part of the GEMM, as in any
        # torch.nn.Linear.
        gemm = event.cpu_parent is not None and event.cpu_parent.name == "aten::addmm"
        if event.name in COPIES and not gemm and elements(event) >= B * T * H:
            names.append(event.name)
    return names


def elements(event) -> int:
    """Of the largest tensor that an operator reads, or of the float32 memory that it takes:
    lists of tensors show no shapes."""
    shapes = [s for s in event.input_shapes if s and all(isinstance(n, int) for n in s)]
    return max([event.cpu_memory_usage // 4, *(math.prod(s) for s in shapes)])


def step(layer):
    shape = (B, T) if layer.batch_first else (T, B)
    return copied(
        layer, torch.randn(*shape, layer.input_size, requires_grad=True), torch.randn(*shape, H)
    )


@plain_layers
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("input_size", [IN, H])
def test_a_training_step_copies_no_activation(name, batch_first, input_size):
    assert step(PLAIN[name](input_size, H, batch_first=batch_first)) == []


@plain_layers
@pytest.mark.parametrize("batch_first", [False, True])
def test_a_transposed_view_is_not_copied_either(name, batch_first):
    x = torch.randn(*((T, B) if batch_first else (B, T)), IN).transpose(0, 1).requires_grad_()
    dy = torch.randn(*((T, B) if batch_first else (B, T)), H).transpose(0, 1)
    layer = PLAIN[name](IN, H, batch_first=batch_first)
    assert copied(layer, x, dy) == []
    torch.testing.assert_close(layer(x)[0], layer(x.contiguous())[0])


class SplitBMRU(nn.BMRU):
    """As one would write it without packed scans."""

    def _streams(self, drive):
        return list(drive.split(self.hidden_size, -1))


class TwoGemmsBMRU(nn.BMRU):
    def _drive(self, x, p):
        return torch.cat([torch.nn.functional.linear(x, w) for w in p["weight_ih"].chunk(2)], -1)


@pytest.mark.parametrize("cls", [SplitBMRU, TwoGemmsBMRU])
@pytest.mark.parametrize("batch_first", [False, True])
def test_the_count_sees_the_copies_of_a_naive_layer(cls, batch_first):
    assert "aten::cat" in step(cls(IN, H, batch_first=batch_first))


def test_the_count_sees_a_contiguous_copy(monkeypatch):
    run = run_cell
    monkeypatch.setattr(
        nn.base,
        "run",
        lambda cell, inputs, *args, **kw: run(cell, [x.contiguous() for x in inputs], *args, **kw),
    )
    assert step(nn.BMRU(IN, H, batch_first=False)) != []
    assert step(nn.BMRU(IN, H, batch_first=True)) == []  # already contiguous
