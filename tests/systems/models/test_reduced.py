"""Losses of autoencoders and the reduced models that they make, beside plain computations."""

import math

import pytest
import torch
from torch.autograd.functional import jvp

from lrnn_kernels.models import reduced
from tests.systems.models.test_autoencoder import disturb, draw, every_kind, make

WIDTHS = (5, 4, 2)


def field(x, c=None):
    """Neither linear nor the gradient of anything."""
    out = x.roll(1, -1).sin() - 0.3 * x * x.roll(-1, -1)
    return out if c is None else out + 0.2 * c.sum(-1, keepdim=True) * x


def called(x, c):
    return field(x) if c is None else field(x, c)


@every_kind
def test_losses(kind):
    """Row by row, with derivatives by autograd."""
    model = disturb(make(kind, WIDTHS, torch.float64))
    x, c = draw(model, 7)
    g, measured = torch.randn_like(x), torch.randn_like(x)
    plain, aligned, velocities, by_measured = [], [], [], []
    for i in range(7):
        each = None if c is None else c[i]

        def project(x, each=each):
            return model.project(x, each)

        y = project(x[i])
        error = sum((a - b) ** 2 for a, b in zip(y.tolist(), x[i].tolist(), strict=True))
        plain.append(error)
        aligned.append(sum(a * b for a, b in zip(g[i].tolist(), (y - x[i]).tolist(), strict=True)))
        for found, v, w in (
            (velocities, called(x[i], each), called(y, each)),
            (by_measured, measured[i], measured[i]),
        ):
            difference = jvp(project, x[i], v)[1] - jvp(project, y, w)[1]
            found.append(error + 0.7 * difference.square().sum().item())

    def mean(values):
        return torch.tensor(values, dtype=torch.float64).mean()

    torch.testing.assert_close(reduced.reconstruction(model, x, c), mean(plain))
    expected = mean([value**2 for value in aligned])
    torch.testing.assert_close(reduced.gradient_aligned(model, x, g, c), expected)
    both = {"c": c, "gamma": 0.7}
    torch.testing.assert_close(reduced.velocity(model, x, f=field, **both), mean(velocities))
    given = called(x, c)
    torch.testing.assert_close(reduced.velocity(model, x, given, f=field, **both), mean(velocities))
    torch.testing.assert_close(reduced.velocity(model, x, measured, **both), mean(by_measured))
    parts = (0.5 * mean(plain), mean(velocities) - mean(plain), 0.2 * expected)
    total = reduced.total(model, x, c, g=g, f=field, weights=(0.5, 0.2, 0.7))
    torch.testing.assert_close(total, sum(parts))


# Roll-outs.

TIMES = torch.linspace(0, 0.8, 3, dtype=torch.float64)


def exact(model, x0, c, times):
    """z' = dEnc(x) f(x), x = Dec(z), by the midpoint rule, extrapolated twice."""

    def rolled(h):
        z, out = model.encode(x0, c), []

        def slope(z):
            x = model.decode(z, c)
            return model.encode_jvp(x, called(x, c), c)[1]

        for gap in times.diff(prepend=times[:1]).tolist():
            for _ in range(round(gap / h)):
                z = z + h * slope(z + h / 2 * slope(z))
            out.append(model.decode(z, c))
        return torch.stack(out, -2)

    coarse, fine, finest = (rolled(h) for h in (0.04, 0.02, 0.01))
    first, second = (4 * fine - coarse) / 3, (4 * finest - fine) / 3
    return (8 * second - first) / 7


@every_kind
def test_roll_outs_are_of_order_4(kind):
    model = disturb(make(kind, WIDTHS, torch.float64))
    x, c = draw(model, 3)
    with torch.no_grad():
        right = exact(model, x, c, TIMES)
        errors = [
            (model.simulate(field, x, TIMES, c, dt=dt) - right).abs().max().item()
            for dt in (0.4, 0.2)
        ]
    assert errors[1] < 1e-3
    assert 3.3 < math.log2(errors[0] / errors[1]) < 4.8
    torch.testing.assert_close(model.simulate(field, x, TIMES, c)[:, 0], model.project(x, c))


@every_kind
def test_nothing_is_reduced_where_no_dimension_is_lost(kind):
    """With as many variables: the field's own solution."""
    model = disturb(make(kind, (4, 4, 4), torch.float64))
    x, c = draw(model, 3)
    full = [x]
    for _ in range(20):
        k1 = called(x, c)
        k2 = called(x + 0.02 * k1, c)
        k3 = called(x + 0.02 * k2, c)
        k4 = called(x + 0.04 * k3, c)
        x = x + 0.04 / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        full.append(x)
    found = model.simulate(field, full[0], TIMES, c, dt=0.04)
    torch.testing.assert_close(found, torch.stack(full[::10], 1), rtol=0, atol=3e-6)


@every_kind
@pytest.mark.parametrize("accumulate", [None, "float64"])
def test_batches_lists_and_single_states_agree(kind, accumulate):
    model = disturb(make(kind, WIDTHS, accumulate=accumulate))
    x, c = draw(model, 2, 2)
    times = TIMES.float()
    whole = model.simulate(field, x, times, c)
    assert whole.shape == (2, 2, 3, 5)
    assert whole.dtype == x.dtype
    states = list(x.flatten(0, 1))
    contexts = None if c is None else c.flatten(0, 1)
    as_list = None if c is None else list(contexts)
    close = {"rtol": 1e-5, "atol": 1e-5}
    for each in (contexts, as_list):
        found = model.simulate(field, states, times, each)
        torch.testing.assert_close(torch.stack(found), whole.flatten(0, 1), **close)
    several = [times[: 1 + i % 3] for i in range(4)]
    for i, found in enumerate(model.simulate(field, states, several, as_list)):
        one = model.simulate(field, states[i], times, None if c is None else contexts[i])
        torch.testing.assert_close(one, whole.flatten(0, 1)[i], **close)
        torch.testing.assert_close(found, one[: 1 + i % 3], **close)


def test_roll_outs_can_be_differentiated():
    model = disturb(make("modulated units", (3, 2), torch.float64))
    x, c = draw(model, 2)
    times = torch.tensor([0.0, 0.3], dtype=torch.float64)
    inputs = (x.requires_grad_(), c.requires_grad_(), *model.parameters())
    steps = [torch.randn_like(p) for p in inputs]

    def run() -> torch.Tensor:
        return model.simulate(field, x, times, c, dt=0.15).sin().sum()

    gradients = torch.autograd.grad(run(), inputs)
    values = []
    with torch.no_grad():
        for h in (1e-5, -2e-5):
            for p, step in zip(inputs, steps, strict=True):
                p.add_(h * step)
            values.append(run().item())
    for gradient in gradients:
        assert gradient.abs().max() > 0
    along = sum((g * step).sum() for g, step in zip(gradients, steps, strict=True)).item()
    assert along == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-6)


# Errors.

X, C = torch.zeros(30, 5), torch.zeros(30, 2)
T, Z = torch.linspace(0, 1, 3), [torch.zeros(5), torch.zeros(5)]
ROLLS = {
    "field": (dict(f=None), TypeError, "f must be callable, got NoneType"),
    "field's shape": (dict(f=lambda x, c: x[0]), ValueError, "what f returns must be as x"),
    "start": (dict(x0=X[:, :3]), ValueError, r"x0 must have shape \(..., 5\), got \(30, 3\)"),
    "no start": (dict(x0=[]), ValueError, "x0 must hold at least one state"),
    "a start": (dict(x0=[X]), ValueError, r"x0 0 must have shape \(5,\), got \(30, 5\)"),
    "kind": (dict(x0=1.0), TypeError, "x0 must be a tensor or a list of tensors, got float"),
    "context": (dict(c=C[:3]), ValueError, r"c must have shape \(30, 2\), .* got \(3, 2\)"),
    "contexts": (dict(x0=Z), ValueError, r"c must have shape \(2, 2\), .* got \(30, 2\)"),
    "times": (dict(t=3.0), TypeError, "t must be a tensor, got float"),
    "no times": (dict(t=T[:0]), ValueError, r"t must have shape \(T,\), got \(0,\)"),
    "times that fall": (dict(t=T.flip(0)), ValueError, "t must hold finite times, each later"),
    "lists of times": (dict(x0=Z, t=[T]), ValueError, "t must be .* list of 2, .* got 1 of them"),
    "step": (dict(dt=0.0), ValueError, r"dt must be in \(0, inf\), got 0"),
}


@pytest.mark.parametrize("what", ROLLS)
def test_errors_of_roll_outs(what):
    options, error, message = ROLLS[what]
    call = {"f": field, "x0": X, "t": T, "c": C, **options}
    if isinstance(call["x0"], list) and "c" not in options and what != "contexts":
        call["c"] = C[0]
    with pytest.raises(error, match=message):
        make("modulated", WIDTHS).simulate(**call)


def test_errors_of_losses():
    model = make("modulated", WIDTHS)
    with pytest.raises(ValueError, match="x_dot or f must be given"):
        reduced.velocity(model, X, c=C)
    with pytest.raises(ValueError, match=r"g must have the shape of x, \(30, 5\), got \(5,\)"):
        reduced.gradient_aligned(model, X, X[0], C)
