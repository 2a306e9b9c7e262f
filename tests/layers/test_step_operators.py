"""The operator of a layer's step: where it runs, and where it must not."""

import copy

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lrnn_kernels import nn
from lrnn_kernels.backends import layer_steps, operators
from lrnn_kernels.cells import CELLS
from lrnn_kernels.nn import stepping
from tests.layers.cases import PLAIN, assert_same, flat, make, plain_layers, random_state

B = 3


def operators_of(call) -> list[str]:
    """The operators of layers' steps that a call runs."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        call()
    names = [event.name for event in profile.events()]
    return [name for name in names if name.endswith(layer_steps.LAYER_STEP)]


@plain_layers
@pytest.mark.parametrize("layers", [1, 3])
def test_a_step_is_one_operator_a_layer(name, layers):
    layer = PLAIN[name](5, 6, layers)
    x, reset = torch.randn(B, 5), torch.rand(B) < 0.5
    with torch.no_grad():
        _, state = layer.step(x)
        for args in ((x,), (x, state), (x, state, reset), (x[0], None, reset[0])):
            found = operators_of(lambda args=args: layer.step(*args))
            kernels = {kernel.name for kernel in layer.cell.kernels}
            assert len(found) == layers
            assert {n.split("::")[1].removesuffix(layer_steps.LAYER_STEP) for n in found} <= (
                {layer.step_operator} if layer.step_operator else kernels
            )


def changed(layer, name: str):
    """A layer with these parameters whose method of this name is a subclass's, with the same
    result."""
    cls = type(layer)
    inherited = getattr(cls, name)
    other = type(f"Other{cls.__name__}", (cls,), {name: lambda *a, **kw: inherited(*a, **kw)})
    clone = copy.deepcopy(layer)
    clone.__class__ = other
    return clone


OVERRIDDEN = pytest.mark.parametrize("method", stepping._PARTS)


@plain_layers
@OVERRIDDEN
def test_a_method_of_a_subclass_is_called(name, method):
    layer = make(name, 5, 6)
    x, state = torch.randn(B, 5, dtype=torch.float64), random_state(layer, B)
    other = changed(layer, method)
    with torch.no_grad():
        assert operators_of(lambda: layer.step(x, state))
        assert not operators_of(lambda: other.step(x, state))
        # A product of its own may round otherwise than one with the scan.
        exact = {} if layer.takes_input else {"rtol": 0, "atol": 0}
        assert_same(flat(other.step(x, state)), flat(layer.step(x, state)), **exact)


@plain_layers
@OVERRIDDEN
def test_a_patched_method_is_called(name, method, monkeypatch):
    x, calls = torch.randn(B, 5), []
    with torch.no_grad():
        _, state = PLAIN[name](5, 6).step(x)
    for place in ("class", "layer", "base"):
        layer = PLAIN[name](5, 6)
        target = {"class": type(layer), "layer": layer, "base": nn.Recurrent}[place]
        if place == "base" and method in vars(type(layer)):
            continue
        as_was = getattr(target, method)

        def patched(*args, as_was=as_was, **kwargs):
            calls.append(1)
            return as_was(*args, **kwargs)

        with monkeypatch.context() as patch, torch.no_grad():
            patch.setattr(target, method, patched)
            layer.step(x, state)
        assert calls
        calls.clear()


WITH_PARAMETERS = [
    name for name, cls in PLAIN.items() if cls._scan_params is not nn.Recurrent._scan_params
]


@pytest.mark.parametrize("name", WITH_PARAMETERS)
def test_what_a_subclass_makes_of_its_parameters_is_the_scans(name):
    layer = make(name, 5, 6)
    cls = type(layer)

    def doubled(self, p):
        return [2 * q for q in cls._scan_params(self, p)]

    x, state = torch.randn(B, 5, dtype=torch.float64), random_state(layer, B)
    with torch.no_grad():
        before, _ = layer.step(x, state)
        layer.__class__ = type(f"Doubled{name}", (cls,), {"_scan_params": doubled})
        got, expected = layer.step(x, state), layer(x[None], state)
    assert_same(flat(got), flat((expected[0][0], expected[1])), rtol=0, atol=0)
    assert not torch.equal(got[0], before)


class Logged(TorchDispatchMode):
    """Records what is dispatched below autograd."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.name())
        return func(*args, **(kwargs or {}))


def _as_subclass(x):
    return x.as_subclass(type("Ours", (torch.Tensor,), {}))


#: Calls whose steps are not for an operator.
OTHER_WAYS = {
    "gradients": lambda layer, x, h: layer.step(x, h),
    "autocast": torch.no_grad()(
        lambda layer, x, h: torch.autocast("cpu", torch.bfloat16)(layer.step)(x, h)
    ),
    "a subclass": torch.no_grad()(lambda layer, x, h: layer.step(_as_subclass(x), h)),
    "vmap": torch.no_grad()(
        lambda layer, x, h: torch.func.vmap(lambda x: layer.step(x, h)[0])(x[None])
    ),
    "no contiguous x": torch.no_grad()(lambda layer, x, h: layer.step(x.t().contiguous().t(), h)),
}


@plain_layers
@pytest.mark.parametrize("way", OTHER_WAYS)
def test_what_is_not_for_an_operator(name, way):
    layer = PLAIN[name](5, 6)
    x = torch.randn(B, 5)
    with torch.no_grad():
        _, state = layer.step(x)
    names = operators_of(lambda: OTHER_WAYS[way](layer, x, state))
    # It is asked where only its C++ can tell.
    assert not names or way == "no contiguous x"


def test_a_dispatch_mode_sees_the_product():
    layer, x = nn.MinGRU(5, 6), torch.randn(B, 5)
    with torch.no_grad(), Logged() as log:
        layer.step(x)
    assert any("mm" in name for name in log.names)


@pytest.mark.parametrize("backend", ["auto", "cpu", "reference"])
def test_the_backend_that_is_asked_for_runs(backend):
    layer, x = nn.MinGRU(5, 6, backend=backend), torch.randn(B, 5)
    with torch.no_grad():
        assert bool(operators_of(lambda: layer.step(x))) is (backend != "reference")


def test_dropout_in_training_is_drawn_once():
    layer, x = nn.MinGRU(5, 6, 2, dropout=0.5), torch.randn(B, 5)
    with torch.no_grad():
        torch.manual_seed(0)
        got, _ = layer.step(x)
        torch.manual_seed(0)
        expected, _ = layer(x[None])
        assert_same(got, expected[0], rtol=0, atol=0)
        assert len(operators_of(lambda: layer.eval().step(x))) == 2


@plain_layers
def test_a_mixture_of_devices_is_an_error_not_a_shape(name):
    layer, x = PLAIN[name](5, 6).to("meta"), torch.randn(B, 5)
    with torch.no_grad(), pytest.raises((RuntimeError, ValueError, NotImplementedError)):
        layer.step(x)


@plain_layers
def test_lazy_negation_and_conjugation_are_seen(name):
    layer, x = make(name, 5, 6), torch.randn(B, 5, dtype=torch.float64)
    states = random_state(layer, B)
    lazy = states.conj() if torch.is_tensor(states) else states
    eager = lazy.resolve_conj() if torch.is_tensor(lazy) else lazy
    with torch.no_grad():
        got, expected = layer.step(torch._neg_view(-x), lazy), layer.step(x, eager)
    assert_same(flat(got), flat(expected), rtol=0, atol=0)


def outcome(call):
    """What a call gives, or raises."""
    try:
        return flat(call())
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        return [type(error), str(error)]


@plain_layers
@pytest.mark.parametrize("wrong", ["longer", "transposed", "double"])
def test_a_wrong_parameter_is_the_error_that_it_was(name, wrong):
    """Or what it computed."""
    change = {
        "longer": lambda p: torch.cat([p, p[:1]]),
        "transposed": lambda p: p.t().contiguous(),
        "double": torch.Tensor.double,
    }[wrong]
    x, errors = torch.randn(B, 5), 0
    for parameter in dict(PLAIN[name](5, 6).named_parameters()):
        torch.manual_seed(0)
        layer = PLAIN[name](5, 6)
        p = getattr(layer, parameter)
        p.data = change(p.data)
        with torch.no_grad():
            got = outcome(lambda layer=layer: layer.step(x))
            expected = outcome(lambda layer=layer: stepping.by_parts(layer, x, None, None))
        raised = isinstance(expected[0], type)
        errors += raised
        same = torch.equal if not raised else lambda a, b: a == b
        assert all(same(a, b) for a, b in zip(got, expected, strict=True))
    assert errors


@pytest.mark.parametrize("layer", [-1, 2])
def test_an_operator_reads_no_layer_that_is_not_there(layer):
    operator = torch.ops.lrnn_kernels.min_gru_layer_step
    states = [torch.randn(2, B, 4)]
    assert (
        operator(torch.randn(B, 5), [torch.randn(8, 5)], [], [], states, layer, 2, None, None) == []
    )


@plain_layers
def test_a_large_batch(name):
    layer, x = make(name, 5, 70), torch.randn(700, 5, dtype=torch.float64)
    state, reset = random_state(layer, 700), torch.rand(700) < 0.5
    with torch.no_grad():
        got, (out, last) = layer.step(x, state, reset), layer(x[None], state, reset[None])
    assert_same(flat(got), flat((out[0], last)), rtol=0, atol=0)


@pytest.mark.parametrize("name", [*operators.KERNELS, *layer_steps.OWN_STEPS])
def test_the_shapes_of_the_operators(name):
    """Schema and fakes, of every kernel's."""
    own = layer_steps.OWN_STEPS.get(name)
    kernel = operators.KERNELS[name] if own is None else own.kernels[0]
    cell = own or next(cell for cell in CELLS.values() if kernel in cell.kernels)
    C, size = 4, 2 if own and own.complex else 1
    params = [torch.rand(shape) for shape in cell.param_shapes(C)]
    weights = [torch.randn(kernel.streams * C * size, 5), torch.randn(kernel.streams * C * size)]
    if name == CELLS["lru"].layer_step:
        weights = [weights[0], torch.randn(C, 2 * C), torch.randn(C, 5)]
        params = [torch.rand(C) for _ in range(3)]
    dtype = torch.complex64 if size == 2 else torch.float32
    options = next(
        {**cell.options, **variant}
        for variant in (*cell.variants, {"eps": 1.0})
        if own or kernel in (cell.kernel({**cell.options, **variant}, r) for r in (False, True))
    )
    states = [torch.randn(2, B, C, dtype=dtype) for _ in cell.states]
    initial = torch.randn(C * size * kernel.states)
    args = (torch.randn(B, 5), weights, params, cell.numbers(options), states, 1, 2)
    operator = getattr(torch.ops.lrnn_kernels, name + layer_steps.LAYER_STEP).default
    reset = None if kernel.saves == "bits" else torch.rand(B) < 0.5
    assert len(operator(*args, reset, initial)) == 1 + kernel.states
    torch.library.opcheck(
        operator, (*args, reset, initial), test_utils=["test_schema", "test_faketensor"]
    )
