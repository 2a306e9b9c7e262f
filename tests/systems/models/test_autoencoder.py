"""Autoencoders that are projections: idempotent before and after training, for any context."""

import pytest
import torch

from lrnn_kernels import nn
from lrnn_kernels.models import ConstrainedAutoencoder, NeuromodulatedAutoencoder

CONTEXT, ROWS = 2, 128
THREE, SIX = (16, 12, 8, 3), (3, 3, 3, 3, 3, 3, 2)
KINDS = {"constrained": {}, "modulated": {}, "modulated units": {"per_unit": True}}
every_kind = pytest.mark.parametrize("kind", KINDS)


def make(kind: str, dims, dtype=torch.float32, **options):
    torch.manual_seed(0)
    options = {**KINDS[kind], **options, "dtype": dtype}
    if kind == "constrained":
        return ConstrainedAutoencoder(dims, **options)
    return NeuromodulatedAutoencoder(dims, context=CONTEXT, **options)


def disturb(model):
    """Every parameter moved, so that none can be missed."""
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return model


def draw(model, *lead: int):
    dtype = next(model.parameters()).dtype
    x = torch.randn(*lead, model.dims[0], dtype=dtype)
    return x, torch.randn(*lead, CONTEXT, dtype=dtype) if model.context else None


def train(model, steps: int) -> tuple[float, float]:
    """The first and the last loss, on a curved sheet that moves with its context."""
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    dtype = next(model.parameters()).dtype
    scale = torch.linspace(0.5, 1.5, model.dims[0])
    losses = []
    for _ in range(steps):
        w, c = torch.randn(64, 2), torch.randn(64, CONTEXT)
        sheet = torch.stack([w[:, 0], w[:, 1], w[:, 0] * w[:, 1], w[:, 0].sin() * c[:, 0]], -1)
        x = (sheet.repeat(1, 4)[:, : len(scale)] * scale + 0.3 * c[:, :1]).to(dtype)
        y = model.project(x, c.to(x.dtype) if model.context else None)
        loss = (y - x).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    return losses[0], losses[-1]


def idempotency(model) -> float:
    """||P(Px) - Px|| / ||Px||, of random points and contexts."""
    x, c = draw(model, ROWS)
    with torch.no_grad():
        once = model.project(x, c)
        return ((model.project(once, c) - once).norm() / once.norm()).item()


#: dims, type, accumulate, and what is reached. (Six layers: with the default range of theta.)
BOUNDS = {
    "three layers": (THREE, torch.float32, None, 3e-6),
    "six layers": (SIX, torch.float32, None, 5e-6),
    "accumulated": (THREE, torch.float32, "float64", 3e-7),
    "float64": (THREE, torch.float64, None, 1e-12),
}


@every_kind
@pytest.mark.parametrize("what", BOUNDS)
def test_idempotent(kind, what):
    dims, dtype, accumulate, bound = BOUNDS[what]
    model = make(kind, dims, dtype, accumulate=accumulate)
    assert idempotency(model) <= bound
    first, last = train(model, 150)
    assert last < first
    assert idempotency(model) <= bound
    assert idempotency(disturb(model)) <= bound


def test_idempotent_as_it_learns():
    """Over 300 steps, of which ``python -m benchmarks.claims idempotency`` goes 10,000; and what
    that rests on."""
    model = make("modulated units", THREE)
    for _ in range(3):
        train(model, 100)
        assert idempotency(model) <= 3e-6
        for layer in model.layers:
            X, D = (p.detach().double() for p in layer.parameters())
            error = layer.weight.detach().double() @ D - torch.eye(len(X), dtype=torch.float64)
            assert error.abs().max() <= 3 * 2**-23 * max(1, torch.linalg.cond(X @ D))


def expected(model, x, c):
    """encode(x) and project(x) layer by layer, by the layers' own functions."""
    h = nn.Hyperbolic()
    if c is None:
        modulation = [(model.theta, beta) for beta in model.betas]
    else:
        low, high = model.theta_range
        out, modulation = model.hypernet(c), []
        for n, r in zip(model.dims, model.dims[1:]):  # noqa: B905
            size = r if model.per_unit else 1
            theta, beta, out = out[..., :size], out[..., size : size + n], out[..., size + n :]
            modulation.append((low + (high - low) / (1 + (-theta).exp()), beta))
    for layer, (theta, beta) in zip(model.layers, modulation, strict=True):
        x = h((x - beta) @ layer.weight.T, theta)
    y = z = x
    for layer, (theta, beta) in reversed(list(zip(model.layers, modulation, strict=True))):
        y = h.inverse(y, theta) @ nn.Biorthogonal.partner(layer).T + beta
    return z, y


@every_kind
@pytest.mark.parametrize("lead", [(), (5,), (2, 3)], ids=str)
def test_the_equations(kind, lead):
    model = disturb(make(kind, THREE, torch.float64))
    x, c = draw(model, *lead)
    z, y = expected(model, x, c)
    torch.testing.assert_close(model.encode(x, c), z)
    torch.testing.assert_close(model.project(x, c), y)
    torch.testing.assert_close(model(x, c), y)
    torch.testing.assert_close(model.decode(z, c), y)
    torch.testing.assert_close(model.encode(y, c), z, rtol=1e-10, atol=1e-12)


@every_kind
@pytest.mark.parametrize("accumulate", [None, "float64"])
def test_derivatives(kind, accumulate):
    """In a direction, and by autograd's forward mode."""
    model = disturb(make(kind, THREE, torch.float64, accumulate=accumulate))
    x, c = draw(model, 5)
    z, v = model.encode(x, c), torch.randn_like(x)
    for mine, method, at, along in (
        (model.jvp, model.project, x, v),
        (model.encode_jvp, model.encode, x, v),
        (model.decode_jvp, model.decode, z, torch.randn_like(z)),
    ):
        right = torch.func.jvp(lambda at, method=method: method(at, c), (at,), (along,))
        torch.testing.assert_close(mine(at, along, c), right)
    _, dz = model.encode_jvp(*model.decode_jvp(z, torch.ones_like(z), c), c)
    torch.testing.assert_close(dz, torch.ones_like(z))


@every_kind
def test_gradients(kind):
    model = disturb(make(kind, (4, 3, 2), torch.float64))
    x, c = draw(model, 3)
    names, parameters = zip(*model.named_parameters(), strict=True)

    def call(x, c, *parameters):
        p = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(model, p, (x, c))

    inputs = [x.requires_grad_(), None if c is None else c.requires_grad_()]
    assert torch.autograd.gradcheck(call, (*inputs, *parameters))


@every_kind
def test_compiled(kind):
    model = disturb(make(kind, THREE, torch.float64))
    x, c = draw(model, 5)
    v = torch.randn_like(x)
    torch.testing.assert_close(torch.compile(model, fullgraph=True)(x, c), model(x, c))
    jvp = torch.compile(lambda: model.jvp(x, v, c), fullgraph=True)
    torch.testing.assert_close(jvp(), model.jvp(x, v, c))


def test_one_context_for_all_rows():
    model = disturb(make("modulated units", THREE, torch.float64))
    x, c = draw(model, 5)
    torch.testing.assert_close(model.project(x, c[0]), model.project(x, c[:1].expand(5, -1)))
    assert not torch.allclose(model.project(x, c[0]), model.project(x, c[1]))


def test_theta_starts_near_a_tenth():
    model = make("modulated", THREE)
    for theta, beta in model._modulation(torch.randn(100, CONTEXT)):
        assert (theta - 0.1).abs().max() < 0.05
        assert beta.abs().max() < 0.3


def test_kept(tmp_path):
    model, other = (make("modulated", THREE) for _ in range(2))
    torch.save(disturb(model).state_dict(), tmp_path / "model.pt")
    other.load_state_dict(torch.load(tmp_path / "model.pt"))
    x, c = draw(model, 3)
    assert other.project(x, c).equal(model.project(x, c))


X, C, Z = torch.zeros(5, 16), torch.zeros(5, 2), torch.zeros(5, 3)
CALLS = {
    "no tensor": (lambda m: m.encode([1.0], C), TypeError, "x must be a tensor, got list"),
    "width": (lambda m: m.encode(Z, C), ValueError, r"x must have shape \(..., 16\), got \(5, 3\)"),
    "latent": (
        lambda m: m.decode(X, C),
        ValueError,
        r"z must have shape \(..., 3\), got \(5, 16\)",
    ),
    "type": (lambda m: m(X.double(), C), TypeError, "x must be of .*float32, got torch.float64"),
    "no context": (lambda m: m(X), TypeError, "c must be a tensor, got NoneType"),
    "context": (
        lambda m: m(X, C[:, :1]),
        ValueError,
        r"c must have shape \(5, 2\), one context a row of x, or \(2,\), got \(5, 1\)",
    ),
    "rows": (lambda m: m(X, C[:4]), ValueError, r"c must have shape \(5, 2\).*, got \(4, 2\)"),
    "context's type": (lambda m: m(X, C.double()), TypeError, "c must be of the type of the"),
    "direction": (
        lambda m: m.jvp(X, X[0], C),
        ValueError,
        r"v must have the shape of x, \(5, 16\)",
    ),
}
OPTIONS = {
    "dims": (dict(dims=(3, 4)), ValueError, "none above the one before, got .3, 4."),
    "one width": (dict(dims=(3,)), ValueError, "dims must be at least two widths"),
    "no widths": (dict(dims=3), TypeError, "dims must be a tuple of widths, got int"),
    "context": (dict(context=0), ValueError, "context must be at least 1, got 0"),
    "range": (dict(theta_range=(0.3, 0.2)), ValueError, "theta_range must be .* low < high"),
    "above": (dict(theta_range=(0.1, 0.8)), ValueError, "theta_range's high must be in"),
    "start": (dict(theta_start=0.7), ValueError, r"theta_start must be in \(0.01, 0.6\), got 0.7"),
    "hidden": (dict(hidden=8), TypeError, "hidden must be a tuple of widths, got int"),
    "accumulate": (dict(accumulate="float16"), ValueError, "accumulate must be one of 'float64'"),
}


@pytest.mark.parametrize("what", CALLS)
def test_errors_of_a_call(what):
    call, error, message = CALLS[what]
    with pytest.raises(error, match=message):
        call(make("modulated", THREE))


@pytest.mark.parametrize("what", OPTIONS)
def test_errors_of_options(what):
    options, error, message = OPTIONS[what]
    with pytest.raises(error, match=message):
        NeuromodulatedAutoencoder(**{"dims": THREE, "context": 2, **options})


def test_other_errors():
    with pytest.raises(ValueError, match="c must be None: ConstrainedAutoencoder takes no context"):
        make("constrained", THREE)(X, C)
    with pytest.raises(ValueError, match="theta must be in"):
        ConstrainedAutoencoder(THREE, theta=0.8)
    model = make("constrained", THREE)
    with torch.no_grad():
        model.layers[1].parametrizations.weight.original0.zero_()
    with pytest.raises(ValueError, match=r"X D .* got a singular one"):
        model(X)
