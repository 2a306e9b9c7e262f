"""Whole networks as one graph, and exported."""

import io

import pytest
import torch
import torch._dynamo.testing

from tests.layers.cases import assert_same, gradients
from tests.systems.models.cases import make, resets, sequence


@pytest.mark.parametrize(
    ("cell", "head", "backend"),
    [("BMRU", "mean", "aot_eager"), ("hybrid", "last", "eager"), ("LRU", "tokens", "eager")],
)
def test_one_graph_serves_every_length(cell, head, backend):
    network = make(cell, head=head, depth=1)
    torch.compiler.reset()
    counter = torch._dynamo.testing.CompileCounterWithBackend(backend)
    compiled = torch.compile(network, backend=counter, fullgraph=True, dynamic=True)
    counts = []
    for B, T in ((6, 30), (5, 9), (7, 21)):
        x, reset = sequence(network, B, T), resets(B, T)
        got, expected = compiled(x, None, reset), network(x, None, reset)
        _agree(got, expected)
        weights = list(network.parameters())
        assert_same(gradients(got[0], weights), gradients(expected[0], weights))
        counts.append(counter.frame_count)
    # The first may take two: what a layer holds as a number is specialized in a second attempt.
    assert counts[0] == counts[1] == counts[2]


def _agree(got, expected):
    for a, b in zip(_leaves(got), _leaves(expected), strict=True):
        assert_same(a, b)


def _leaves(result):
    return torch.utils._pytree.tree_leaves(result)


def test_steps_and_padding_compile():
    network = make("stack", head="mean", depth=1)
    x = sequence(network, 3, 6)
    torch.compiler.reset()
    step = torch.compile(network.step, backend="eager", fullgraph=True)
    states = same = None
    with torch.no_grad():
        for t in range(6):
            out, states = step(x[:, t], states)
            expected, same = network.step(x[:, t], same)
            _agree((out, states), (expected, same))
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    lengths = torch.tensor([6, 2, 3])
    _agree(compiled(x, lengths=lengths), network(x, lengths=lengths))


@pytest.mark.parametrize(
    ("cell", "head", "strict"),
    [
        ("hybrid", "last", False),
        ("BMRU", "mean", False),
        ("stack", "steps", False),
        ("MinGRU", "tokens", True),
    ],
)
def test_an_exported_program_is_the_network(cell, head, strict):
    """For every length and batch, with states, written down and read again."""
    network = make(cell, head=head, depth=1)
    B, T = torch.export.Dim("B", min=2, max=100), torch.export.Dim("T", min=2, max=1000)

    def call(batch, steps):
        x, before = sequence(network, batch, steps), sequence(network, batch, 3)
        states = network(before)[1]
        return (
            x,
            torch.utils._pytree.tree_map_only(torch.Tensor, torch.Tensor.detach, states),
            resets(batch, steps),
        )

    example = call(5, 7)
    _, windows, cells, total = example[1]
    of_cells = torch.utils._pytree.tree_map(lambda _: {1: B}, cells)
    shapes = (
        {0: B, 1: T},
        ({0: B}, tuple({0: B} for _ in windows), of_cells, None if total is None else {0: B}),
        {0: B, 1: T},
        None,
    )
    program = torch.export.export(network, example, dynamic_shapes=shapes[:3], strict=strict)
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    buffer.seek(0)
    again = torch.export.load(buffer).module()
    for batch, steps in ((3, 19), (6, 2)):
        with torch.no_grad():
            given = call(batch, steps)
            _agree(again(*given), network(*given))
