"""A wrong argument is named, with what was got and what was expected; nothing is guessed."""

import inspect
from functools import partial

import pytest
import torch

import lrnn_kernels as lrnn
from lrnn_kernels import testing
from lrnn_kernels.calls import explain, run
from lrnn_kernels.cells import CELLS
from tests.conftest import VARIANTS, over

B, T, C = 2, 5, 4


def _x(*shape, dtype=torch.float32, **kwargs):
    return torch.ones(*(shape or (B, T, C)), dtype=dtype, **kwargs)


X, ALPHA, MASK = _x(), _x(C), torch.zeros(B, T, dtype=torch.bool)

WRONG = {
    # what: (call, exception, words that the message must hold)
    "no tensor": (lambda: lrnn.bmru([1.0], X, ALPHA), TypeError, ("c must be a tensor", "list")),
    "no tensor as parameter": (
        lambda: lrnn.bmru(X, X, 1.0),
        TypeError,
        ("alpha must be a tensor", "float"),
    ),
    "stream of 2 dimensions": (
        lambda: lrnn.bmru(_x(T, C), X, ALPHA),
        ValueError,
        ("c must have shape (B, T, C)", "(5, 4)"),
    ),
    "streams of two shapes": (
        lambda: lrnn.bmru(X, _x(B, T, 3), ALPHA),
        ValueError,
        ("beta", "(2, 5, 4)", "(2, 5, 3)"),
    ),
    "streams of two lengths": (
        lambda: lrnn.min_gru(X, _x(B, 6, C)),
        ValueError,
        ("v", "(2, 5, 4)", "(2, 6, 4)"),
    ),
    "no channels": (
        lambda: lrnn.min_gru(_x(B, T, 0), _x(B, T, 0)),
        ValueError,
        ("k", "at least one channel", "(2, 5, 0)"),
    ),
    "integers": (
        lambda: lrnn.min_gru(X.int(), X),
        TypeError,
        ("k must be floating point", "torch.int32"),
    ),
    "integer threshold": (
        lambda: lrnn.bmru(X, X.long(), ALPHA),
        TypeError,
        ("beta must be floating point", "torch.int64"),
    ),
    "complex parameter for a real cell": (
        lambda: lrnn.bmru(X, X, ALPHA.cfloat()),
        TypeError,
        ("alpha", "torch.complex64", "float32"),
    ),
    "complex for a real cell": (
        lambda: lrnn.min_gru(X.cfloat(), X.cfloat()),
        TypeError,
        ("k", "torch.complex64", "float32"),
    ),
    "real for the LRU": (
        lambda: lrnn.lru(X, _x(C)),
        TypeError,
        ("u", "torch.float32", "complex64"),
    ),
    "half split for the LRU": (
        lambda: lrnn.lru(_x(B, T, 2 * C).double(), _x(3).cdouble()),
        ValueError,
        ("lam", "(4,)", "(3,)"),
    ),
    "alpha of another width": (
        lambda: lrnn.bmru(X, X, _x(3)),
        ValueError,
        ("alpha", "(4,)", "(3,)"),
    ),
    "alpha without channels": (
        lambda: lrnn.bmru(X, X, torch.tensor(1.0)),
        ValueError,
        ("alpha must have shape (C,)", "()"),
    ),
    "alpha of another length": (
        lambda: lrnn.bmru(X, X, _x(B, 6, C)),
        ValueError,
        ("alpha", "(2, 5, 4)", "(2, 6, 4)"),
    ),
    "alpha of 4 dimensions": (
        lambda: lrnn.bmru(X, X, _x(1, B, T, C)),
        ValueError,
        ("alpha", "(1, 2, 5, 4)"),
    ),
    "wider alpha": (
        lambda: lrnn.bmru(X, X, ALPHA.double()),
        TypeError,
        ("alpha", "torch.float64", "torch.float32"),
    ),
    "a of 4 dimensions": (
        lambda: lrnn.linear_scan(_x(1, B, T, C), X),
        ValueError,
        ("a must have shape", "(1, 2, 5, 4)"),
    ),
    "thresholds of another width": (
        lambda: lrnn.fq_bmru(X, ALPHA, _x(5), ALPHA),
        ValueError,
        ("beta_hi", "(4,)", "(5,)"),
    ),
    "eps above 1": (lambda: lrnn.bmru(X, X, ALPHA, eps=1.5), ValueError, ("eps", "[0, 1]", "1.5")),
    "eps below 0": (
        lambda: lrnn.fq_bmru(X, ALPHA, ALPHA, ALPHA, eps=-0.1),
        ValueError,
        ("eps", "[0, 1]", "-0.1"),
    ),
    "eps NaN": (lambda: lrnn.bmru(X, X, ALPHA, eps=float("nan")), ValueError, ("eps", "nan")),
    "eps a tensor": (
        lambda: lrnn.bmru(X, X, ALPHA, eps=torch.tensor(0.5)),
        TypeError,
        ("eps must be a number", "float32"),
    ),
    "width 0": (lambda: lrnn.cmru(X, X, ALPHA, width=0.0), ValueError, ("width", "(0, inf)", "0")),
    "width below 0": (lambda: lrnn.bmru(X, X, ALPHA, width=-1), ValueError, ("width", "-1")),
    "positive a number": (
        lambda: lrnn.min_gru(X, X, positive=1),
        TypeError,
        ("positive must be a bool", "int"),
    ),
    "positive a number in a step": (
        lambda: lrnn.min_gru_step(X[:, 0], X[:, 0], positive=1),
        TypeError,
        ("positive must be a bool", "int"),
    ),
    "h0 of one dimension": (
        lambda: lrnn.min_gru(X, X, h0=_x(C)),
        ValueError,
        ("h0", "(2, 4)", "(4,)"),
    ),
    "h0 of another batch": (
        lambda: lrnn.min_gru(X, X, h0=_x(3, C)),
        ValueError,
        ("h0", "(2, 4)", "(3, 4)"),
    ),
    "h0 wider than the states": (
        lambda: lrnn.min_gru(X, X, h0=_x(B, C).double()),
        TypeError,
        ("h0", "torch.float64", "torch.float32"),
    ),
    "complex h0": (
        lambda: lrnn.min_gru(X, X, h0=_x(B, C).cfloat()),
        TypeError,
        ("h0", "torch.complex64"),
    ),
    "h0 no tensor": (
        lambda: lrnn.min_gru(X, X, h0=0.0),
        TypeError,
        ("h0 must be a tensor", "float"),
    ),
    "reset of integers": (
        lambda: lrnn.min_gru(X, X, reset=MASK.int()),
        TypeError,
        ("reset must be a bool tensor", "torch.int32"),
    ),
    "reset of another length": (
        lambda: lrnn.min_gru(X, X, reset=MASK[:, :3]),
        ValueError,
        ("reset", "(2, 5)", "(2, 3)"),
    ),
    "h_reset without reset": (
        lambda: lrnn.min_gru(X, X, h_reset=_x(C)),
        ValueError,
        ("h_reset", "without reset", "h0"),
    ),
    "h_reset of another width": (
        lambda: lrnn.min_gru(X, X, reset=MASK, h_reset=_x(3)),
        ValueError,
        ("h_reset", "(4,)", "(2, 4)", "(3,)"),
    ),
    "a backend that is none": (
        lambda: lrnn.min_gru(X, X, backend="gpu"),
        ValueError,
        ("backend", "'cpu'", "'gpu'"),
    ),
    "streams on two devices": (
        lambda: lrnn.min_gru(X, _x(device="meta")),
        ValueError,
        ("v", "device", "cpu", "meta"),
    ),
    "h0 on another device": (
        lambda: lrnn.min_gru(X, X, h0=_x(B, C, device="meta")),
        ValueError,
        ("h0", "device", "cpu", "meta"),
    ),
    "alpha on another device": (
        lambda: lrnn.bmru(X, X, _x(C, device="meta")),
        ValueError,
        ("alpha", "device", "cpu", "meta"),
    ),
    "reset on another device": (
        lambda: lrnn.min_gru(X, X, reset=MASK.to("meta")),
        ValueError,
        ("reset", "device", "cpu", "meta"),
    ),
    "a step with time": (
        lambda: lrnn.min_gru_step(X, X),
        ValueError,
        ("k must have shape (B, C)", "(2, 5, 4)"),
    ),
    "a step with a mask over time": (
        lambda: lrnn.min_gru_step(_x(B, C), _x(B, C), reset=MASK),
        ValueError,
        ("reset must have shape (B,)", "(2, 5)"),
    ),
    "a step of a wrong state": (
        lambda: lrnn.min_gru_step(_x(B, C), _x(B, C), _x(B, 3)),
        ValueError,
        ("(2, 4)", "(2, 3)"),
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_messages_name_the_argument(what):
    call, exception, words = WRONG[what]
    with pytest.raises(exception) as raised:
        call()
    for word in words:
        assert word in str(raised.value), str(raised.value)


@pytest.mark.parametrize("what", WRONG)
def test_explain_refuses_what_the_call_refuses(what, monkeypatch):
    call, exception, words = WRONG[what]
    for name in {row.function.__name__ for row in CELLS.values()}:
        monkeypatch.setattr(lrnn, name, partial(lrnn.explain, name))
    with pytest.raises(exception) as raised:
        call()
    for word in words:
        assert word in str(raised.value), str(raised.value)


@over(("cell", "options"), VARIANTS)
def test_explain_prepares_the_call_that_runs(cell, options, monkeypatch):
    """The row, the tensors and the options that the public function hands on are those that
    ``explain`` describes."""
    call, prepared = (
        testing.random_call(
            cell, 2, 5, 4, options=options, dtype=CELLS[cell].dtypes[0], reset=True
        ),
        [],
    )
    real = run.prepare

    def keep(row, *args):
        prepared.append((row, *args))
        return real(row, *args)

    monkeypatch.setattr(run, "prepare", keep)
    monkeypatch.setattr(explain, "prepare", keep)
    call.apply("cpu")
    function = testing.public(cell)
    public, names = inspect.unwrap(function), CELLS[cell].states
    given = call.tensors() | testing.accepted(cell, options) | {"reset": call.reset}
    if len(names) > 1:
        given["state"] = given.pop("h0").chunk(len(names), -1)
        given["h_reset"] = given["h_reset"].chunk(len(names), -1)
    explanation = lrnn.explain(public.__name__, **given, backend="cpu")
    assert explanation.kernel == call.kernel.name
    ran, explained = prepared
    assert ran[0] is explained[0]
    assert ran[3] == explained[3]
    for a, b in zip(
        [*ran[1], *ran[2], *ran[4:7]], [*explained[1], *explained[2], *explained[4:7]], strict=True
    ):
        assert (a is None and b is None) or torch.equal(a, b)


@over(("cell", "options"), VARIANTS)
def test_the_reference_raises_the_same(cell, options):
    """Checks come before the choice of a backend."""
    dtype = CELLS[cell].dtypes[0]
    call = testing.random_call(cell, dtype=dtype, options=options, reset=True)
    messages = []
    for backend in ("cpu", "reference", "auto"):
        with pytest.raises(ValueError, match=r"h0|state") as raised:
            call.apply(backend, h0=call.h0[:, 1:])
        messages.append(str(raised.value))
    assert len(set(messages)) == 1


@pytest.mark.parametrize("suffix", ["", "_backward"])
def test_operators_called_directly_are_safe(suffix):
    """torch.ops skips the public checks: memory stays safe, and the error says which operator
    complained."""
    if suffix:

        def run(inputs, params, dy):
            return torch.ops.lrnn_kernels.cmru_backward(
                inputs, params, [1.0, 1.0], None, None, None, False, None, dy, None
            )
    else:

        def run(inputs, params, dy):
            return torch.ops.lrnn_kernels.cmru(
                inputs, params, [1.0, 1.0], None, None, None, False, True
            )

    for inputs, params in (
        ([], [ALPHA]),
        ([X, X, X], [ALPHA]),
        ([X, _x(B, T, 3)], [ALPHA]),
        ([X, X.double()], [ALPHA]),
        ([X, X], []),
        ([X, X], [_x(3)]),
        ([X, X], [ALPHA.double()]),
        ([X[0], X[0]], [ALPHA]),
        ([_x(B, T, 3)], [ALPHA]),  # packed, but odd
        ([X.int(), X.int()], [ALPHA]),
    ):
        with pytest.raises(RuntimeError, match="cmru"):
            run(inputs, params, X)
    if suffix:
        with pytest.raises(RuntimeError, match="cmru_backward"):
            run([X, X], [ALPHA], _x(B, T, 3))


def test_states_that_are_not_the_forwards():
    for kernel, states in (
        ("hysteresis", _x(B, T, 3)),
        ("hysteresis", None),
        ("bmru", X),
        ("bmru", None),
    ):
        with pytest.raises(RuntimeError, match=kernel):
            getattr(torch.ops.lrnn_kernels, kernel + "_backward")(
                [X, X], [ALPHA], [0.0, 1.0], None, None, None, False, states, X, None
            )


@over(
    ("cell", "options"), [(cell, options) for cell, options in VARIANTS if not CELLS[cell].linear]
)
def test_a_second_derivative_of_a_surrogate_is_refused(cell, options):
    """H and S have declared first derivatives only. Silence would be a wrong number."""
    call = testing.random_call(cell, 1, 5, 3, dtype=torch.float64, options=options)
    leaves = {name: x.requires_grad_() for name, x in call.tensors().items()}
    y, _ = call.apply("cpu", **leaves)
    (grad,) = torch.autograd.grad(y.sum(), leaves[call.entry.inputs[0]], create_graph=True)
    public = call.entry.function.__name__
    with pytest.raises(NotImplementedError, match=rf"^{public}: .*use backend='reference'"):
        grad.sum().backward()


def test_forward_mode_of_a_surrogate_is_refused():
    call = testing.random_call("bmru", 1, 5, 3)
    with (
        torch.autograd.forward_ad.dual_level(),
        pytest.raises(NotImplementedError, match=r"^bmru: .*use reverse mode"),
    ):
        call.apply("cpu", c=torch.autograd.forward_ad.make_dual(call.inputs[0], call.dy))


def test_what_was_right_once_is_no_excuse(monkeypatch):
    """Calls that were checked are remembered by all that the checks look at, and only so many of
    them."""
    monkeypatch.setattr(run, "_layouts", {})
    monkeypatch.setattr(run, "_MOST_LAYOUTS", 3)
    expected = lrnn.bmru(X, X, ALPHA)[0]
    assert len(run._layouts) == 1
    assert torch.equal(lrnn.bmru(X.clone(), X, ALPHA.clone())[0], expected)
    assert len(run._layouts) == 1
    with pytest.raises(ValueError, match="alpha"):
        lrnn.bmru(X, X, _x(C + 1))
    with pytest.raises(ValueError, match="beta"):
        lrnn.bmru(X, _x(B, T + 1, C), ALPHA)
    with pytest.raises(TypeError, match="alpha"):
        lrnn.bmru(X, X, ALPHA.cfloat())
    with pytest.raises(ValueError, match="device"):
        lrnn.bmru(X, X.to("meta"), ALPHA)
    with pytest.raises(ValueError, match="h_reset was given without reset"):
        lrnn.bmru(X, X, ALPHA, h_reset=ALPHA)
    assert lrnn.bmru(X.half(), X, ALPHA)[0].dtype == torch.float32
    assert len(run._layouts) == 1  # what had to be converted is checked, and converted, every time
    for T_ in range(1, 9):
        lrnn.bmru(_x(B, T_, C), _x(B, T_, C), ALPHA)
        assert len(run._layouts) <= 3
