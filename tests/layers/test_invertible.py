"""The hyperbolic activation beside the published formula in 50 digits, and biorthogonal pairs."""

import itertools
import math

import mpmath
import pytest
import torch
from torch.func import grad, jacfwd, jacrev, vmap
from torch.nn.utils import parametrize

from lrnn_kernels import nn

HYPERBOLIC = nn.Hyperbolic()
#: By name, each function and the sign of the published formula.
FUNCTIONS = {"sigma": HYPERBOLIC, "inverse": HYPERBOLIC.inverse, "slope": HYPERBOLIC.derivative}
every_function = pytest.mark.parametrize("name", FUNCTIONS)

#: One rounding of a type, and the angles over which exactness is promised.
ROUNDING = {torch.float32: 2.0**-24, torch.float64: 2.0**-53}
LOW, HIGH = 1e-4, math.pi / 4 - 1e-4
both_types = pytest.mark.parametrize("dtype", ROUNDING, ids=["float32", "float64"])
both_signs = pytest.mark.parametrize("sign", [-1, 1])

#: On both sides of every branch: theta = 0.5, and those of p, w and q - y as x runs.
ANGLES = [
    LOW,
    1e-3,
    0.02,
    0.2,
    math.pi / 8,
    0.4999,
    0.5001,
    0.6,
    0.7,
    0.77,
    math.pi / 4 - 1e-3,
    HIGH,
]


def magnitudes(count: int, dtype: torch.dtype) -> torch.Tensor:
    """Both signs from 1e-6 to 1e3, and 0."""
    x = torch.logspace(-6, 3, count, dtype=torch.float64)
    return torch.cat([-x.flip(0), x.new_zeros(1), x]).to(dtype)


def published(x: float, theta: float, sign: int):
    """(sigma_s, its slope, its derivative by theta) by the formulas of the paper."""

    def value(theta):
        S, C = mpmath.sin(theta), mpmath.cos(theta)
        a, b = 1 / S**2 - 1 / C**2, 1 / S**2 + 1 / C**2
        u = 2 * x / (S * C) - sign * mpmath.sqrt(2) / C
        root = mpmath.sqrt(u * u + 2 * a)
        slope = b / a + sign / a * (2 / (S * C)) * u / root
        return b / a * x - sign * mpmath.sqrt(2) / (a * S) + sign / a * root, slope

    x, theta = mpmath.mpf(x), mpmath.mpf(theta)
    by_theta = mpmath.diff(lambda t: value(t)[0], theta, h=mpmath.mpf(10) ** -20)
    return *value(theta), by_theta


def forms(sign: int):
    """sigma_s and its slope as the layer has them: that of the inverse is autograd's."""
    if sign < 0:
        return HYPERBOLIC, HYPERBOLIC.derivative

    def slope(x, theta):
        x = x.detach().requires_grad_()
        return torch.autograd.grad(HYPERBOLIC.inverse(x, theta).sum(), x)[0]

    return HYPERBOLIC.inverse, slope


def by_theta(function, x: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
    """The derivative by an angle that every x has for itself."""
    theta = theta.expand_as(x).clone().requires_grad_()
    return torch.autograd.grad(function(x, theta).sum(), theta)[0]


@both_types
@both_signs
def test_exact_to_a_few_roundings(sign, dtype):
    x = magnitudes(14, dtype)
    theta = torch.tensor(ANGLES, dtype=dtype)[:, None]
    function, slope = forms(sign)
    x, theta = torch.broadcast_tensors(x, theta)
    got = function(x, theta), slope(x, theta), by_theta(function, x, theta)
    allowed = [8 * ROUNDING[dtype]] * 2 + [1e-5 / 2**-24 * ROUNDING[dtype]]
    with mpmath.workdps(50):
        for at in itertools.product(*map(range, x.shape)):
            exact = published(x[at].item(), theta[at].item(), sign)
            for found, right, most in zip(got, exact, allowed, strict=True):
                error = abs(mpmath.mpf(found[at].item()) - right)
                # At x = 0, where 50 digits make some 1e-49 of a zero.
                assert error <= most * abs(right) + mpmath.mpf(10) ** -35, (x[at], theta[at])


def random_points(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """float32 x of every magnitude, and angles, many of them near both ends."""
    torch.manual_seed(0)
    near = 10 ** torch.empty(2, count // 4).uniform_(-4, -0.5)
    theta = torch.cat([torch.empty(count // 2).uniform_(LOW, HIGH), near[0], math.pi / 4 - near[1]])
    x = 10 ** torch.empty(count).uniform_(-6, 3) * torch.randn(count).sign()
    return x, theta.clamp(LOW, HIGH)


@both_signs
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_exact_at_random_points(sign, compiled):
    """Beside float64, which the test above holds to 50 digits."""
    x, theta = random_points(200_000)
    function, slope = forms(sign)
    X, Theta = x.double(), theta.double()
    exact = function(X, Theta), slope(X, Theta), by_theta(function, X, Theta)
    if compiled:
        function = torch.compile(function, fullgraph=True)
    allowed = 8 * 2**-24, 8 * 2**-24, 1e-5
    got = function(x, theta), slope(x, theta), by_theta(function, x, theta)
    for found, right, most in zip(got, exact, allowed, strict=True):
        assert ((found.double() - right) / right).abs().max() <= most


@both_types
@both_signs
def test_round_trip(sign, dtype):
    x, theta = (y.to(dtype) for y in random_points(200_000))
    theta = theta.clamp(LOW, HIGH)
    forward, back = (FUNCTIONS["sigma"], FUNCTIONS["inverse"])[::-sign]
    z, slope = forward(x, theta), forms(sign)[1](x, theta)
    allowed = 12 * ROUNDING[dtype] * (x.abs() + z.abs() / slope)
    assert ((back(z, theta) - x).abs() <= allowed).all()


@every_function
def test_limits(name):
    """Exact at 0, finite far out, and the slopes there."""
    function = FUNCTIONS[name]
    x = torch.tensor([-1e6, -1e-30, 0.0, 1e-30, 1e6]).requires_grad_()
    theta = torch.tensor([[LOW], [0.3], [HIGH]]).requires_grad_()
    y = function(x, theta)
    gradients = torch.autograd.grad(y.sum(), (x, theta), create_graph=True)
    second = torch.autograd.grad(sum(g.sum() for g in gradients), (x, theta))
    assert all(g.isfinite().all() for g in (y, *gradients, *second))
    if name == "slope":
        assert (y[:, 1:4] == 1).all() or (y[:, 1:4] - 1).abs().max() <= 8 * 2**-24
        ends = torch.stack([(math.pi / 4 + theta).tan(), (math.pi / 4 - theta).tan()], 1)[..., 0]
        torch.testing.assert_close(y[:2, [0, 4]], ends[:2], rtol=1e-4, atol=0)
    else:
        assert (y[:, 2] == 0).all()


#: Angles of every shape that broadcasts with x (5, 3).
SHAPES = {"number": None, "scalar": (), "per unit": (3,), "per sample": (5, 1), "both": (5, 3)}
every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def draw(shape) -> tuple[torch.Tensor, torch.Tensor | float]:
    torch.manual_seed(0)
    x = (3 * torch.randn(5, 3, dtype=torch.float64)).requires_grad_()
    if shape is None:
        return x, 0.3
    return x, (0.02 + 0.74 * torch.rand(shape, dtype=torch.float64)).requires_grad_()


@every_function
@every_shape
def test_gradients(name, shape):
    x, theta = draw(shape)
    function = FUNCTIONS[name]
    inputs = (x,) if shape is None else (x, theta)
    call = (lambda x: function(x, theta)) if shape is None else function
    assert torch.autograd.gradcheck(call, inputs, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(call, inputs)


@every_function
@pytest.mark.parametrize("theta", [LOW, HIGH])
def test_gradients_at_the_ends(name, theta):
    x = torch.tensor([-8.0, -0.3, 0.0, 0.2, 8.0], dtype=torch.float64).requires_grad_()
    theta = torch.tensor(theta, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(FUNCTIONS[name], (x, theta), eps=1e-8, rtol=1e-3, atol=1e-5)


@every_function
@every_shape
def test_transforms(name, shape):
    """Over samples, and Jacobians by both modes."""
    function = FUNCTIONS[name]
    x, theta = draw(shape)
    batched = shape is not None and len(shape) == 2
    dims = (0, 0 if batched else None)
    torch.testing.assert_close(vmap(function, dims)(x, theta), function(x, theta))
    slopes = vmap(grad(lambda x, t: function(x, t).sum()), dims)(x, theta)
    torch.testing.assert_close(slopes, torch.autograd.grad(function(x, theta).sum(), x)[0])
    for of in (0,) if shape is None else (0, 1):
        torch.testing.assert_close(jacfwd(function, of)(x, theta), jacrev(function, of)(x, theta))


@every_function
def test_compiled(name):
    x, theta = draw((5, 1))
    function = FUNCTIONS[name]
    compiled = torch.compile(function, fullgraph=True)
    torch.testing.assert_close(compiled(x, theta), function(x, theta))
    got, expected = (
        torch.autograd.grad(f(x, theta).sum(), (x, theta)) for f in (compiled, function)
    )
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(compiled(x.detach(), 0.2), function(x.detach(), 0.2))


@every_function
def test_types(name):
    """The result has the type of x + theta, and 16 bits are widened in between."""
    function = FUNCTIONS[name]
    x, theta = torch.randn(4, 3), torch.tensor([0.1, 0.3, 0.78])
    for dtype in (torch.bfloat16, torch.float16):
        got = function(x.to(dtype), theta.to(dtype))
        expected = function(x.to(dtype).float(), theta.to(dtype).float())
        assert got.dtype == dtype
        assert got.equal(expected.to(dtype))
        assert function(x.to(dtype), theta).dtype == torch.float32
        assert function(x.to(dtype), theta[0]).dtype == dtype
    assert function(x, theta.double()).dtype == torch.float64
    assert function(x.double(), 0.3).dtype == torch.float64


X = torch.zeros(4, 3)
ERRORS = {
    "no tensor": (lambda f: f([1.0], 0.3), TypeError, "x must be a tensor, got list"),
    "integers": (lambda f: f(X.long(), 0.3), TypeError, "x must be of a floating point type"),
    "integer angles": (lambda f: f(X, X.long()), TypeError, "theta must be of a floating point"),
    "no angle": (lambda f: f(X, None), TypeError, "theta must be a number, got NoneType"),
    "zero": (lambda f: f(X, 0.0), ValueError, r"theta must be in \(0, 0.785398\), got 0"),
    "pi/4": (lambda f: f(X, math.pi / 4), ValueError, "theta must be in"),
    "rounds to above pi/4": (
        lambda f: f(X, math.pi / 4 - 1e-9),
        ValueError,
        r"theta must be in \(0, pi/4\) as rounded to torch.float32, got 0.78539816",
    ),
    "a tensor above": (
        lambda f: f(X, torch.tensor([0.1, 0.9, 0.2])),
        ValueError,
        r"theta must be in \(0, pi/4\) as rounded to torch.float32, got 0.899999976",
    ),
    "float32's pi/4": (lambda f: f(X, torch.tensor(math.pi / 4)), ValueError, "got 0.785398185"),
    "negative": (lambda f: f(X, torch.tensor(-0.1)), ValueError, "got -0.1"),
    "nan": (lambda f: f(X, torch.tensor(math.nan)), ValueError, "got nan"),
    "shape": (
        lambda f: f(X, torch.full((4,), 0.1)),
        ValueError,
        r"theta must have a shape that broadcasts with that of x, \(4, 3\).*, got \(4,\)",
    ),
}


@every_function
@pytest.mark.parametrize("what", ERRORS)
def test_errors(name, what):
    call, error, message = ERRORS[what]
    with pytest.raises(error, match=message):
        call(FUNCTIONS[name])


@every_function
def test_what_is_learned_is_not_looked_at(name):
    function = FUNCTIONS[name]
    theta = torch.tensor([0.9, -0.1, 0.3])
    assert function(X, theta.clone().requires_grad_()).shape == X.shape
    assert vmap(function, (0, None))(X, theta).shape == X.shape
    with pytest.raises(ValueError, match="theta must be in"):
        function(X, theta)


# Biorthogonal pairs.


def pair(r: int, n: int, dtype=torch.float32, mix: float = 0.0, **options) -> torch.nn.Module:
    """An encoder's layer with orthonormal rows, X and D moved by mix of random ones."""
    torch.manual_seed(r)
    encoder = torch.nn.Linear(n, r, bias=False, dtype=dtype)
    torch.nn.init.orthogonal_(encoder.weight)
    parametrize.register_parametrization(encoder, "weight", nn.Biorthogonal(**options))
    with torch.no_grad():
        for p in encoder.parameters():
            p.add_(mix / math.sqrt(n) * torch.randn_like(p))
    return encoder


def products(encoder: torch.nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """E D - I and X D, in float64."""
    X, D = (p.detach().double() for p in encoder.parameters())
    identity = torch.eye(len(X), dtype=torch.float64)
    return encoder.weight.detach().double() @ D - identity, X @ D


@both_types
@pytest.mark.parametrize("mix", [0.0, 0.3, 3.0])
@pytest.mark.parametrize("size", [(2, 3), (1, 4), (3, 3), (8, 16), (10, 40), (64, 128)], ids=str)
def test_pairs_are_biorthogonal(size, mix, dtype):
    encoder = pair(*size, dtype, mix)
    error, product = products(encoder)
    eps = 2 * ROUNDING[dtype]
    assert error.abs().max() <= 3 * eps * max(1, torch.linalg.cond(product))


def test_pairs_stay_biorthogonal_as_they_learn():
    encoder = pair(4, 9)
    adam = torch.optim.Adam(encoder.parameters(), lr=3e-2)
    x = torch.randn(64, 9) @ torch.randn(9, 9)
    losses = []
    for _ in range(100):
        adam.zero_grad()
        loss = (encoder(x) @ nn.Biorthogonal.partner(encoder).mT - x).square().mean()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    error, product = products(encoder)
    assert error.abs().max() <= 3 * 2**-23 * max(1, torch.linalg.cond(product))


def test_gradients_of_a_pair():
    torch.manual_seed(0)
    X = torch.randn(2, 5, dtype=torch.float64, requires_grad=True)
    D = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(nn.Biorthogonal(), (X, D))
    assert torch.autograd.gradgradcheck(nn.Biorthogonal(), (X, D))
    several = torch.randn(3, 2, 5, dtype=torch.float64), torch.randn(3, 5, 2, dtype=torch.float64)
    one_by_one = torch.stack([nn.Biorthogonal()(*each) for each in zip(*several, strict=True)])
    torch.testing.assert_close(vmap(nn.Biorthogonal())(*several), one_by_one)
    compiled = torch.compile(nn.Biorthogonal(), fullgraph=True)
    torch.testing.assert_close(compiled(X, D), nn.Biorthogonal()(X, D))


def test_a_weight_is_kept_and_assigned():
    encoder = pair(3, 7)
    kept = torch.nn.Linear(7, 3, bias=False)
    weight = torch.randn(3, 7)
    encoder.weight = weight
    torch.testing.assert_close(encoder.weight.detach(), weight)
    D = nn.Biorthogonal.partner(encoder)
    torch.testing.assert_close(D.detach(), torch.linalg.pinv(weight))
    assert D is encoder.parametrizations.weight.original1
    parametrize.register_parametrization(kept, "weight", nn.Biorthogonal())
    kept.load_state_dict(encoder.state_dict())
    assert kept.weight.equal(encoder.weight)


def test_a_pair_without_values_is_made():
    """On meta, to be filled from a file: there is nothing to check."""
    encoder = torch.nn.Linear(4, 2, bias=False, device="meta")
    parametrize.register_parametrization(encoder, "weight", nn.Biorthogonal())
    assert encoder.weight.is_meta
    assert encoder(torch.empty(3, 4, device="meta")).shape == (3, 2)
    kept = pair(2, 4)
    encoder.load_state_dict(kept.state_dict(), assign=True)
    assert encoder.weight.equal(kept.weight)


def test_errors_of_pairs():
    encoder = pair(2, 4)
    X, D = encoder.parameters()
    with torch.no_grad():
        X.copy_(torch.tensor([[1.0, 0, 0, 0], [1.0, 0, 0, 0]]))
    with pytest.raises(ValueError, match=r"X D .* must have a condition .* got a singular one"):
        encoder(torch.zeros(4))
    with torch.no_grad():
        X.copy_(torch.eye(2, 4))
        D.copy_(torch.tensor([[1.0, 0], [0, 1e-7], [0, 0], [0, 0]]))
    with pytest.raises(ValueError, match=r"X D .* number of at most 1e\+06, got 1e\+07"):
        encoder(torch.zeros(4))
    with torch.no_grad():
        D.fill_(math.nan)
    with pytest.raises(ValueError, match="X D"):
        encoder(torch.zeros(4))
    assert nn.Biorthogonal(max_condition=math.inf)(torch.eye(2, 4), 1e-7 * torch.eye(4, 2)).shape
    with pytest.raises(
        ValueError, match=r"weight must have shape \(r, n\) with r <= n, got \(5, 4\)"
    ):
        parametrize.register_parametrization(torch.nn.Linear(4, 5), "weight", nn.Biorthogonal())
    with pytest.raises(ValueError, match=r"weight must have shape \(r, n\) .*, got \(3,\)"):
        nn.Biorthogonal().right_inverse(torch.ones(3))
    with pytest.raises(ValueError, match=r"max_condition must be in \[1, inf"):
        nn.Biorthogonal(max_condition=0.5)
    with pytest.raises(
        ValueError, match="module must have its weight parametrized by Biorthogonal"
    ):
        nn.Biorthogonal.partner(torch.nn.Linear(2, 2))
