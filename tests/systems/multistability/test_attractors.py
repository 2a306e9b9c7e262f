"""How many attractors there are: VAA by its definition, and VAA*."""

import resource

import pytest
import torch

from lrnn_kernels.multistability import vaa, vaa_star

from .cases import seeded

GOLDEN = [[0.0, 0.0], [0.0, 5e-5], [1.0, 1.0], [1.0, -1.0]]
both = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def by_definition(states: torch.Tensor, eps: float) -> float:
    """Pair after pair."""
    near = [sum((a - b).norm() < eps for b in states) for a in states]
    return sum(1 / float(count) for count in near) / len(states)


@both
def test_golden_values(dtype):
    states = torch.tensor(GOLDEN, dtype=dtype)
    assert vaa(states) == 0.75
    expected = 0.74984974 if dtype == torch.float32 else 0.74984966
    assert vaa_star(states).dtype == dtype
    assert abs(vaa_star(states).item() - expected) < 1e-8


@both
def test_ends_of_the_scale(dtype):
    apart = torch.eye(6, dtype=dtype)
    assert vaa(apart) == 1
    assert vaa(apart[:1].expand(6, -1)) == pytest.approx(1 / 6)
    assert vaa_star(apart[:1].expand(6, -1)).item() == pytest.approx(1 / 6)
    assert vaa(apart[:1]) == vaa_star(apart[:1]).item() == 1


def test_counts_pair_by_pair(monkeypatch):
    states = torch.randn(60, 3, generator=seeded()).double()
    expected = by_definition(states, 0.9)
    assert 0.1 < expected < 0.9
    assert vaa(states, 0.9) == pytest.approx(expected, abs=1e-12)
    monkeypatch.setattr("lrnn_kernels.multistability.attractors._MOST_DISTANCES", 130)
    assert vaa(states, 0.9) == pytest.approx(expected, abs=1e-12)  # a few rows at a time


def test_the_border_belongs_to_neither():
    """Near is below eps: at eps, in numbers that hold it exactly, states differ."""
    states = torch.tensor([[0.0], [0.25]])
    assert vaa(states, 0.25) == 1
    assert vaa(states, 0.2500001) == 0.5


def test_large_states_are_told_apart():
    """Distances are those of differences: of ||x||^2 + ||y||^2 - 2 x'y nothing would be left."""
    near = torch.randn(1, 512, generator=seeded()) * 10
    states = torch.cat([near, near, near + 2e-4])
    assert vaa(states) == pytest.approx((0.5 + 0.5 + 1) / 3)
    assert vaa_star(states / 50, 1e-7).item() == pytest.approx((0.5 + 0.5 + 1) / 3, abs=0.05)


def test_complex_states_are_their_two_parts():
    z = torch.tensor([[0 + 0j], [0 + 5e-5j], [1 + 1j], [1 - 1j]], dtype=torch.complex128)
    assert vaa(z) == 0.75
    assert abs(vaa_star(z).item() - 0.74984966) < 1e-8
    z.requires_grad_()
    vaa_star(z * 0.3).backward()
    assert z.grad.is_complex()
    assert z.grad.abs().max() > 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bits(dtype):
    states = torch.tensor([[0.0], [0.0], [1.0]], dtype=dtype)
    assert vaa(states) == pytest.approx(2 / 3)
    assert vaa_star(states).dtype == torch.float32


def test_gradient():
    states = torch.randn(7, 3, generator=seeded(), dtype=torch.float64) * 0.5
    states[3] = states[2] + 3e-5  # closer than eps, where nothing changes
    states.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: vaa_star(x), states)
    assert torch.autograd.gradcheck(lambda x: vaa_star(x, 0.7), states)


@both
def test_equal_states_have_no_gradient(dtype):
    states = torch.full((5, 3), 0.3, dtype=dtype, requires_grad=True)
    vaa_star(states).backward()
    assert torch.equal(states.grad, torch.zeros_like(states))


def test_two_equal_states_among_others():
    """The gradient of the distance of 0 is 0, not NaN, and the others' is what it was."""
    x = torch.randn(4, 3, generator=seeded(), dtype=torch.float64)
    states = torch.cat([x, x[:1]]).requires_grad_()
    vaa_star(states).backward()
    assert states.grad.isfinite().all()
    assert (states.grad.abs().max(1).values > 0).all()


def test_memory_does_not_grow_with_all_differences():
    """1,000 states of 1,000 channels: their differences would be 4 GB."""
    states = torch.randn(1000, 1000, generator=seeded())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert vaa(states) == 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10  # KiB


@pytest.mark.parametrize("function", [vaa, vaa_star])
@pytest.mark.parametrize(
    ("states", "error", "message"),
    [
        ([[0.0]], TypeError, "states must be a tensor, got list"),
        (torch.zeros(3), ValueError, r"states must have shape \(N, D\).* got \(3,\)"),
        (torch.zeros(0, 3), ValueError, r"N and D at least 1, got \(0, 3\)"),
        (torch.zeros(3, 0), ValueError, r"N and D at least 1, got \(3, 0\)"),
        (torch.zeros(3, 3, dtype=torch.int64), TypeError, "floating point or complex, got torch.i"),
        (torch.tensor([[0.0], [torch.nan]]), ValueError, "finite, got NaN or infinity in state 1"),
        (torch.tensor([[torch.inf]]), ValueError, "finite, got NaN or infinity in state 0"),
    ],
)
def test_wrong_states(function, states, error, message):
    with pytest.raises(error, match=message):
        function(states)


@pytest.mark.parametrize("function", [vaa, vaa_star])
@pytest.mark.parametrize(("eps", "error"), [(0.0, ValueError), (-1, ValueError), ("1", TypeError)])
def test_wrong_eps(function, eps, error):
    with pytest.raises(error, match="eps must be"):
        function(torch.zeros(2, 2), eps)
