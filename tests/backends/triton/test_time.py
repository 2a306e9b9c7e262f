"""Time cut by the caller into pieces, by the Triton kernels into chunks or at checkpoints."""

from dataclasses import replace

import pytest
import torch

from lrnn_kernels import testing
from tests.backends.triton.cases import (
    AFFINE,
    DEVICE,
    FEW,
    SERVED,
    check,
    narrowest,
    with_features,
)
from tests.conftest import assert_same, over
from tests.maps import check_map

pytestmark = pytest.mark.usefixtures("where", "poisoned")


@over(("cell", "options"), FEW)
def test_pieces_equal_the_whole(cell, options):
    """h0 <- h_last: the same bits, and gradients through the seam."""
    cut, reverse = ((5, False), (8, True))[SERVED.index((cell, options)) % 2]
    call = testing.random_call(
        cell, 2, 11, 3, dtype=narrowest(cell), options=options, reset=True, reverse=reverse
    ).to(DEVICE)
    whole = testing.run(call, "triton")
    leaves = {name: x.detach().requires_grad_() for name, x in call.tensors().items()}
    h, ys = leaves["h0"], []
    for part in (slice(cut, None), slice(0, cut)) if reverse else (slice(0, cut), slice(cut, None)):
        piece = {
            name: (x[:, part] if name in call.entry.inputs else x) for name, x in leaves.items()
        }
        y, h = replace(call, reset=call.reset[:, part]).apply("triton", **piece | {"h0": h})
        ys.append(y)
    y = torch.cat(ys[::-1] if reverse else ys, 1)
    grads = torch.autograd.grad([y, h], list(leaves.values()), [call.dy, call.dh_last])
    got = {"y": y, "h_last": h} | {f"d_{name}": g for name, g in zip(leaves, grads, strict=True)}
    sums = {f"d_{name}" for name in (*call.entry.params, "h_reset")}
    assert_same(
        {k: x for k, x in got.items() if k not in sums},
        {k: x for k, x in whole.items() if k not in sums},
    )
    for error in testing.compare(call, got, whole):
        assert error.ok, error


@pytest.mark.parametrize(("T", "features"), [(16, 2), (37, 0), (19, 6)])
@over(("cell", "options"), AFFINE)
def test_time_cut_in_pieces(cell, options, T, features, monkeypatch):
    """Summaries, the run along them, and the pieces: what few lanes get on a GPU, forced here."""
    from lrnn_kernels.triton_kernels import launch

    plans = []

    def cut(*args):
        plans.append(make_plan(*args[:-1], 4))
        return plans[-1]

    make_plan = launch.make_plan
    monkeypatch.setattr(launch, "make_plan", cut)
    check(
        testing.random_call(
            cell, 2, T, 3, dtype=narrowest(cell), options=options, seed=T, **with_features(features)
        )
    )
    assert all(plan.chunks > 1 and plan.steps < T for plan in plans)


@pytest.mark.parametrize(
    ("T", "features", "chunks"), [(0, 1, 1), (19, 2, 1), (37, 6, 4), (21, 3, 3)]
)
@over(("cell", "options"), AFFINE)
def test_maps(cell, options, T, features, chunks, monkeypatch):
    """Of a sequence as a whole, from those of its pieces."""
    from lrnn_kernels.triton_kernels import launch

    make_plan = launch.make_plan
    monkeypatch.setattr(launch, "make_plan", lambda *args: make_plan(*args[:-1], chunks))
    kinds = with_features(features)
    check_map(
        testing.random_call(cell, 2, T, 3, dtype=narrowest(cell), options=options, **kinds),
        "triton",
    )


def test_maps_of_halves():
    """Of complex numbers that lie as two real halves."""
    check_map(testing.random_call("lru", 2, 20, 3, split=True, reset=True), "triton")


@over(
    ("T", "features", "chunks", "dtype"),
    [
        (0, 0, 1, torch.float32),
        (32, 3, 1, torch.float64),
        (40, 3, 1, torch.float32),
        (33, 0, 2, torch.float64),
        (70, 4, 2, torch.float32),
    ],
)
def test_saved_bits(T, features, chunks, dtype, monkeypatch):
    """At the edges of words and of pieces, what is saved is the CPU's to the bit, and gradients
    are those of the CPU's kernel."""
    from lrnn_kernels.triton_kernels import launch

    make_plan = launch.make_plan
    monkeypatch.setattr(launch, "make_plan", lambda *args: make_plan(*args[:-1], chunks))
    call = testing.random_call("bmru", 2, T, 3, dtype=dtype, seed=T, **with_features(features))
    results = []
    for one, operators in (
        (call.to(DEVICE), torch.ops.lrnn_triton),
        (call, torch.ops.lrnn_kernels),
    ):
        args = (list(one.inputs), list(one.params), [0.0, 1.0], one.h0, None, None, one.reverse)
        outputs = operators.bmru(*args, True)
        results.append((outputs, operators.bmru_backward(*args, outputs[2], one.dy, one.dh_last)))
    for got, expected in zip(*(outputs for outputs, _ in results), strict=True):
        assert got.dtype == expected.dtype
        assert torch.equal(got.cpu(), expected)
    for got, expected in zip(*(gradients for _, gradients in results), strict=True):
        torch.testing.assert_close(got.cpu(), expected)
    args = (*args[:2], [0.0, 1.0], None, None, None, False)
    with pytest.raises(ValueError, match="states must be what was saved"):
        torch.ops.lrnn_triton.bmru_backward(*args, call.dy, call.dy, call.dh_last)


def test_sums_over_time_are_deterministic():
    call = testing.random_call("bmru", 5, 9, 6).to(DEVICE)
    assert_same(testing.run(call, "triton"), testing.run(call, "triton"))


@pytest.mark.parametrize(
    ("gradient", "interval", "reverse"),
    [("full", 4, False), ("full", 5, True), ("detached", 9, False), ("full", 64, False)],
)
def test_checkpoints_change_no_bit(gradient, interval, reverse):
    """Intervals that are whole turns of the loop, that are not, and that end with the sequence
    or beyond it."""
    options = next(
        options for cell, options in SERVED if cell == "src" and options["gradient"] == gradient
    )
    call = testing.random_call("src", 2, 18, 5, options=options, reset=True, reverse=reverse).to(
        DEVICE
    )
    checkpointed = replace(call, options={**options, "memory": interval})
    assert_same(testing.run(checkpointed, "triton"), testing.run(call, "triton"))
