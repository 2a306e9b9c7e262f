"""A step without gradients takes a short way, most often one operator a layer: its numbers are
those of the long one, and nothing that a layer may have become is missed."""

import pytest
import torch
from torch.nn.utils import parametrize

from lrnn_kernels import nn
from lrnn_kernels.nn import directions, stepping
from tests.layers.cases import assert_same, each, every_layer, flat, make, random_state
from tests.layers.test_step_operators import operators_of

B = 3


@pytest.fixture
def short_ways(monkeypatch) -> list[int]:
    """How often the layer's methods were called one by one."""
    taken, way = [], directions.one_step

    def counted(*args):
        taken.append(1)
        return way(*args)

    monkeypatch.setattr(directions, "one_step", counted)
    return taken


def both(layer, *args):
    """Of the short way and of the long one."""
    with torch.no_grad():
        short = layer.step(*args)
    return short, each_detached(layer.step(*args))


def each_detached(outputs):
    out, state = outputs
    return out.detach(), each(torch.Tensor.detach, state)


def with_parts(layer, *args):
    """A step by the layer's methods, one by one."""
    return stepping.by_parts(layer, *args)


@every_layer
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("with_reset", [False, True])
@pytest.mark.parametrize("input_size", [4, 5])
def test_the_same_numbers(name, batch_first, with_reset, input_size, short_ways):
    layer = make(name, input_size, 4, 2, batch_first=batch_first).eval()
    x, state = torch.randn(B, input_size, dtype=torch.float64), random_state(layer, B)
    reset = torch.tensor([True, False, True]) if with_reset else None
    for _ in range(2):  # the second time everything is known
        short, long = both(layer, x, state, reset)
        assert_same(flat(short), flat(long), rtol=0, atol=0)
    with torch.inference_mode():
        assert_same(flat(layer.step(x, state, reset)), flat(long), rtol=0, atol=0)
        short_ways.clear()
        assert_same(flat(with_parts(layer, x, state, reset)), flat(long), rtol=0, atol=0)
        assert len(short_ways) == 1


@every_layer
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("batch", [(), (1,), (B,), (0,)], ids=str)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("started", [False, True])
def test_the_same_numbers_of_other_dtypes_and_forms(name, dtype, batch, layers, started):
    """Of the operator and of a sequence of one step."""
    layer = make(name, 5, 6, layers).eval().to(dtype)
    carry = torch.complex64 if isinstance(layer, nn.LRU) else torch.float32
    state = each(lambda h: h.to(carry), random_state(layer, *batch)) if started else None
    for reset in (None, torch.rand(batch) < 0.5):
        x = torch.randn(*batch, 5).to(dtype)
        with torch.no_grad():
            got = layer.step(x, state, reset)
            out, last = layer(x[None], state, None if reset is None else reset[None])
        assert_same(flat(got), flat((out.squeeze(0), last)), rtol=0, atol=0)
        assert not any(h._is_view() for h in flat(got))


def update(layer) -> None:
    with torch.no_grad():
        for p in layer.parameters():
            p.add_(0.1)


def load(layer) -> None:
    layer.load_state_dict({name: p + 0.1 for name, p in layer.state_dict().items()})


def set_data(layer) -> None:
    for p in layer.parameters():
        p.data = p.data + 0.1


def optimize(layer) -> None:
    for p in layer.parameters():
        p.grad = torch.ones_like(p)
    torch.optim.SGD(layer.parameters(), lr=0.1).step()


def parametrized(layer) -> None:
    class Shifted(torch.nn.Module):
        def forward(self, w):
            return w + 0.1

    for name in [name for name, _ in layer.named_parameters()]:
        parametrize.register_parametrization(layer, name, Shifted())


def plain_attributes(layer) -> None:
    """As some wrappers of modules leave them."""
    for name, p in list(layer.named_parameters()):
        delattr(layer, name)
        setattr(layer, name, p.detach() + 0.1)


@every_layer
@pytest.mark.parametrize(
    "change", [update, load, set_data, optimize, parametrized, plain_attributes]
)
def test_what_changes_a_parameter_is_seen_at_once(name, change):
    layer = make(name, 5, 4, 2)
    x, state = torch.randn(B, 5, dtype=torch.float64), random_state(layer, B)
    before, _ = both(layer, x, state)
    change(layer)
    short, long = both(layer, x, state)
    assert_same(flat(short), flat(long), rtol=0, atol=0)
    assert not all(map(torch.equal, flat(short), flat(before)))


@every_layer
def test_another_dtype_is_seen_at_once(name):
    layer = make(name, 5, 4)
    x, state = torch.randn(B, 5, dtype=torch.float64), random_state(layer, B)
    both(layer, x, state)
    layer.float()
    narrow = each(lambda h: h.to(torch.complex64 if h.is_complex() else torch.float32), state)
    short, long = both(layer, x.float(), narrow)
    assert_same(flat(short), flat(long), rtol=0, atol=0)


def test_parameters_of_a_functional_call_are_seen():
    layer = make("MinGRU", 5, 4)
    x, state = torch.randn(B, 5, dtype=torch.float64), random_state(layer, B)

    class Stepped(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x, state):
            return self.layer.step(x, state)

    others = {f"layer.{name}": p.detach() + 0.1 for name, p in layer.named_parameters()}
    with torch.no_grad():
        before = layer.step(x, state)[0]
        got = torch.func.functional_call(Stepped(), others, (x, state))[0]
        update(layer)
        assert_same(got, layer.step(x, state)[0], rtol=0, atol=0)
    assert not torch.equal(got, before)


def test_options_that_change_are_seen():
    layer = make("BMRU", 5, 4)
    x, state = torch.randn(B, 5, dtype=torch.float64), random_state(layer, B)
    for eps in (0.0, 0.5, 1.0, 0.25):
        layer.eps = eps
        short, long = both(layer, x, state)
        assert_same(flat(short), flat(long), rtol=0, atol=0)


def test_hooks_and_gradients_take_the_long_way(short_ways):
    layer = make("MinGRU", 5, 4)
    x, state = torch.randn(B, 5, dtype=torch.float64), random_state(layer, B)
    seen = []
    out, _ = layer.step(x, state)
    assert out.requires_grad
    handle = layer.register_forward_hook(lambda *_: seen.append("hook"))
    with torch.no_grad():
        layer.step(x, state)
    handle.remove()
    assert seen == ["hook"]
    assert not short_ways
    with torch.no_grad():
        assert operators_of(lambda: layer.step(x, state))


def test_under_autocast_and_vmap():
    layer = make("MinGRU", 5, 4).float()
    x, state = torch.randn(B, 5), torch.randn(1, B, 4)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        short = layer.step(x, state)
    with torch.autocast("cpu", torch.bfloat16):
        long = layer.step(x, state)
    assert short[0].dtype == long[0].dtype == torch.bfloat16
    assert_same(short, each_detached(long), rtol=0, atol=0)
    xs = torch.randn(2, B, 5)
    with torch.no_grad():
        got = torch.func.vmap(lambda x: layer.step(x, state)[0])(xs)
        assert_same(got, torch.stack([layer.step(x, state)[0] for x in xs]), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("wrong", ["x", "state", "reset", "dtype"])
def test_errors_are_those_of_the_long_way(wrong):
    layer = nn.MinGRU(5, 4)
    args = {"x": torch.ones(B, 5), "state": torch.ones(1, B, 4), "reset": torch.ones(B) > 0}
    with torch.no_grad():
        layer.step(**args)
        bad = {"x": torch.ones(B, 4), "state": torch.ones(1, B, 3), "reset": torch.ones(2) > 0}
        if wrong == "dtype":
            args["x"], wrong = args["x"].long(), "x"
        else:
            args[wrong] = bad[wrong]
        with pytest.raises((ValueError, TypeError), match=f"^{wrong} must"):
            layer.step(**args)
