"""The dense layer that a signal adapts: its equation, gradients, shapes and errors."""

import pytest
import torch
from torch.func import functional_call, grad, vmap

from lrnn_kernels import nn
from lrnn_kernels.nn import modulated

IN, OUT, K, B, T = 4, 3, 2, 5, 6
ACTIVATIONS = {
    "srelu": lambda u: u.clamp(max=1).clamp(min=-1),
    "relu": lambda u: u.clamp(min=0),
    "sigmoid": lambda u: 1 / (1 + (-u).exp()),
    "tanh": lambda u: 2 / (1 + (-2 * u).exp()) - 1,
    "none": lambda u: u,
}
#: Leading dimensions of x and of z.
SHAPES = {
    "one row": ((), ()),
    "a batch": ((B,), (B,)),
    "a batch, one signal": ((B,), ()),
    "sequences": ((B, T), (B, T)),
    "sequences, a signal each": ((B, T), (B,)),
    "sequences, one signal": ((B, T), ()),
    "no rows": ((0, T), (0,)),
    "no steps": ((B, 0), (B,)),
}
every_activation = pytest.mark.parametrize("activation", ACTIVATIONS)
every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def make(activation="srelu", dtype=torch.float64, **options) -> nn.ModulatedLinear:
    """With random parameters large enough that a good part of the units saturate."""
    torch.manual_seed(0)
    layer = nn.ModulatedLinear(IN, OUT, K, activation=activation, dtype=dtype, **options)
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(0.5 * torch.randn_like(p))
    return layer


def draw(shape=((B, T), (B, T)), dtype=torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    x, z = (
        torch.randn(*dims, size, dtype=dtype).requires_grad_()
        for dims, size in zip(shape, (IN, K), strict=True)
    )
    return x, z


def expected(layer, x, z) -> torch.Tensor:
    """Unit by unit."""
    lead = x.shape[:-1]
    z = z.reshape(*z.shape[:-1], *[1] * (x.dim() - z.dim()), K).expand(*lead, K)
    units = []
    for j in range(OUT):
        u = (x * layer.weight[j]).sum(-1)
        gain = layer.offset0 + (z * layer.weight_s[j]).sum(-1)
        offset = (z * layer.weight_b[j]).sum(-1)
        units.append(u * gain + offset + (0 if layer.bias is None else layer.bias[j]))
    return ACTIVATIONS[layer.activation](torch.stack(units, -1))


def gradients(y, layer, *inputs):
    torch.manual_seed(2)
    return torch.autograd.grad(y, [*inputs, *layer.parameters()], torch.randn_like(y))


@pytest.fixture(params=[modulated._TILE, 2 * OUT], ids=["one tile", "many tiles"])
def tile(request, monkeypatch):
    monkeypatch.setattr(modulated, "_TILE", request.param)


@every_activation
@every_shape
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("offset0", [0, 1])
def test_values_and_gradients(activation, shape, bias, offset0, tile):
    layer = make(activation, bias=bias, offset0=offset0)
    x, z = draw(shape)
    y, right = layer(x, z), expected(layer, x, z)
    torch.testing.assert_close(y, right)
    torch.testing.assert_close(gradients(y, layer, x, z), gradients(right, layer, x, z))
    with torch.no_grad():
        assert layer(x, z).equal(y)


@every_activation
@every_shape
def test_gradcheck(activation, shape, tile):
    layer = make(activation)
    x, z = draw(shape)
    names, parameters = zip(*layer.named_parameters(), strict=True)

    def call(x, z, *parameters):
        return functional_call(layer, dict(zip(names, parameters, strict=True)), (x, z))

    # No kink near enough for a finite difference to cross it.
    assert torch.autograd.gradcheck(call, (x, z, *parameters), eps=1e-7, rtol=1e-4, atol=1e-5)
    assert torch.autograd.gradgradcheck(call, (x, z, *parameters), eps=1e-7, rtol=1e-4, atol=1e-5)


def test_second_derivatives_where_the_signal_follows_the_input():
    """Neither path is counted twice."""
    layer = make("tanh")
    x, _ = draw(((B,), (B,)))
    found = []
    for call in (layer, lambda x, z: expected(layer, x, z)):
        first = torch.autograd.grad(call(x, x[:, :K] ** 2).sum(), x, create_graph=True)[0]
        found.append(torch.autograd.grad(first.square().sum(), x)[0])
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("frozen", ["x", "z", "weight", "weight_s", "bias", "weight_b"])
def test_what_needs_no_gradient_gets_none(frozen):
    layer = make()
    x, z = draw()
    tensors = {"x": x, "z": z, **dict(layer.named_parameters())}
    right = dict(zip(tensors, gradients(layer(x, z), layer, x, z), strict=True))
    tensors[frozen].requires_grad_(False)
    torch.manual_seed(2)
    y = layer(x, z)
    y.backward(torch.randn_like(y))
    assert tensors[frozen].grad is None
    for name in tensors.keys() - {frozen}:
        torch.testing.assert_close(tensors[name].grad, right[name])


def test_the_papers_form():
    """sigma(z . (u w_s + w_b)): without b, and with offset0 = 0."""
    layer = make("sigmoid", offset0=0, bias=False)
    x, z = draw(((B,), (B,)))
    u = x @ layer.weight.mT
    inner = u[..., None] * layer.weight_s + layer.weight_b  # (B, out, k)
    torch.testing.assert_close(layer(x, z), torch.sigmoid((inner @ z[..., None])[..., 0]))


def test_starts_as_published():
    torch.manual_seed(0)
    layer = nn.ModulatedLinear(50, 40, 30)
    assert layer.activation == "srelu"
    assert layer.offset0 == 1
    assert (layer.bias == 0).all()
    for p in (layer.weight, layer.weight_s, layer.weight_b):
        assert p.abs().max() <= 0.2
        assert p.std().item() == pytest.approx(0.088, abs=0.004)  # 0.1 cut at two of them
    x = torch.randn(7, 50)
    ordinary = torch.nn.functional.linear(x, layer.weight).clamp(-1, 1)
    torch.testing.assert_close(layer(x, torch.zeros(30)), ordinary)


@every_activation
def test_transforms(activation):
    layer = make(activation)
    x, z = draw()
    torch.testing.assert_close(vmap(layer)(x, z), layer(x, z))
    torch.testing.assert_close(
        vmap(layer, (0, None))(x, z[0]), expected(layer, x, z[:1].expand_as(z))
    )
    found = vmap(grad(lambda x, z: layer(x, z).sum(), (0, 1)))(x, z)
    torch.testing.assert_close(found, torch.autograd.grad(layer(x, z).sum(), (x, z)))
    tangents = torch.randn_like(x), torch.randn_like(z)
    _, forward = torch.func.jvp(layer, (x, z), tangents)
    _, right = torch.func.jvp(lambda x, z: expected(layer, x, z), (x, z), tangents)
    torch.testing.assert_close(forward, right)


def test_compiled():
    layer = make()
    x, z = draw()
    compiled = torch.compile(layer, fullgraph=True)
    torch.testing.assert_close(compiled(x, z), layer(x, z))
    got, right = (gradients(call(x, z), layer, x, z) for call in (compiled, layer))
    torch.testing.assert_close(got, right)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_types(dtype):
    layer, exact = make(dtype=dtype), make()
    exact.load_state_dict(layer.state_dict())
    x, z = draw(dtype=dtype)
    y = layer(x, z)
    assert y.dtype == dtype
    tolerance = 20 * torch.finfo(dtype).eps
    right = exact(x.double(), z.double())
    torch.testing.assert_close(y.double(), right, rtol=tolerance, atol=tolerance)
    found = gradients(y, layer, x, z)
    assert [g.dtype for g in found] == [dtype] * 6


def test_autocast():
    layer = make("tanh", dtype=torch.float32)  # without a kink that a rounding could cross
    x, z = draw(dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(x, z)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), layer(x, z), rtol=0.05, atol=0.05)
    found = gradients(y.float(), layer, x, z)
    for got, right in zip(found, gradients(layer(x, z), layer, x, z), strict=True):
        assert got.dtype == torch.float32
        assert (got - right).norm() <= 0.1 * right.norm()


def test_any_strides():
    layer = make()
    x, z = draw()
    across = x.mT.contiguous().mT, z.mT.contiguous().mT
    torch.testing.assert_close(layer(*across), layer(x, z))
    got = gradients(layer(*across), layer, x, z)
    torch.testing.assert_close(got, gradients(layer(x, z), layer, x, z))


X, Z = torch.zeros(B, T, IN, dtype=torch.float64), torch.zeros(B, T, K, dtype=torch.float64)
CALLS = {
    "no tensor": (lambda m: m([1.0], Z), TypeError, "x must be a tensor, got list"),
    "no signal": (lambda m: m(X, None), TypeError, "z must be a tensor, got NoneType"),
    "integers": (lambda m: m(X.long(), Z), TypeError, "x must be of a floating point type"),
    "features": (lambda m: m(X[..., :2], Z), ValueError, r"x must .* in_features = 4\), got"),
    "modulators": (lambda m: m(X, Z[..., :1]), ValueError, r"z must .*modulators = 2\), got"),
    "steps": (lambda m: m(X, Z[:, :2]), ValueError, r"z must .* \(5, 6, 4\), .* got \(5, 2, 2\)"),
    "one step": (lambda m: m(X, Z[:, :1]), ValueError, "z must have the first of x's dimensions"),
    "more dimensions": (lambda m: m(X[0], Z), ValueError, "z must have the first of x's"),
}
OPTIONS = {
    "in_features": (dict(in_features=0), ValueError, "in_features must be at least 1, got 0"),
    "out_features": (dict(out_features=2.0), TypeError, "out_features must be an int, got float"),
    "modulators": (dict(modulators=-1), ValueError, "modulators must be at least 1, got -1"),
    "activation": (dict(activation="elu"), ValueError, "activation must be one of .*got 'elu'"),
    "offset0": (dict(offset0=2), ValueError, "offset0 must be 0 or 1, got 2"),
    "offset0's type": (dict(offset0=0.5), TypeError, "offset0 must be an int, got float"),
    "bias": (dict(bias=1), TypeError, "bias must be a bool, got int"),
}


@pytest.mark.parametrize("what", CALLS)
def test_errors_of_a_call(what):
    call, error, message = CALLS[what]
    with pytest.raises(error, match=message):
        call(make())


@pytest.mark.parametrize("what", OPTIONS)
def test_errors_of_options(what):
    options, error, message = OPTIONS[what]
    with pytest.raises(error, match=message):
        nn.ModulatedLinear(**{"in_features": IN, "out_features": OUT, "modulators": K, **options})
