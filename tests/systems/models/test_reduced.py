"""What autoencoders learn by, and the reduced models that they make: beside plain computations."""

import math
import signal

import pytest
import safetensors.torch
import torch
from torch.autograd.functional import jvp

from lrnn_kernels.models import (
    ConstrainedAutoencoder,
    History,
    NeuromodulatedAutoencoder,
    load,
    reduced,
)
from tests.systems.models.test_autoencoder import KINDS, disturb, draw, every_kind, make

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


# Training.


def trajectories(model, count=12):
    """Of different lengths, each with a context."""
    lengths = [10 + i for i in range(count)]
    pieces = [draw(model, n)[0] * torch.linspace(2, 0.1, model.dims[0]) for n in lengths]
    contexts = [torch.randn(model.context) for _ in pieces] if model.context else None
    return pieces, contexts


@every_kind
def test_it_learns(kind):
    model = make(kind, WIDTHS)
    pieces, contexts = trajectories(model)
    told = []
    history = model.fit(
        pieces,
        contexts,
        epochs=40,
        batch=50,
        lr=1e-2,
        held_out=0.2,
        patience=5,
        progress=lambda history: told.append(history.epoch),
    )
    assert told == list(range(1, 41))
    assert history.train[-1] < 0.8 * history.train[0]
    assert history.held_out[-1] < history.held_out[0]
    assert len(history.held_out) == len(history.lr) == history.epoch == 40
    assert history.lr[0] == 1e-2
    assert history.seconds > 0


def test_the_rate_falls_where_the_loss_does_not():
    model = make("constrained", WIDTHS)
    history = model.fit(torch.zeros(20, 5), epochs=8, patience=1, lr=0.5, batch=20)
    assert history.lr[0] == 0.5
    assert min(history.lr) < 0.5


def parameters(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("what", ["", "x_dot", "g"])
@every_kind
def test_lists_are_tensors(kind, what):
    """Without rows held out, of which a list's are whole trajectories, to the last bit."""
    pieces, contexts = trajectories(make(kind, WIDTHS))
    rows = {"c": None, "x": torch.cat(pieces)}
    if contexts:
        same = zip(contexts, pieces, strict=True)
        rows["c"] = torch.cat([each.expand(len(piece), -1) for each, piece in same])
    lists = {"x": pieces, "c": contexts}
    if what:
        rows[what], lists[what] = called(rows["x"], None), [called(x, None) for x in pieces]
    several = {name: None if x is None else x[None] for name, x in rows.items()}
    stacked = {**lists, "c": contexts and torch.stack(contexts)}
    found = []
    for data in (rows, lists, several, stacked):
        model = make(kind, WIDTHS)
        model.fit(**data, epochs=2, batch=50, held_out=0.0)
        found.append(parameters(model))
    assert not found[0].equal(parameters(make(kind, WIDTHS)))
    assert all(each.equal(found[0]) for each in found)


def test_what_is_held_out_is_not_learned_from():
    """A row, or a whole trajectory, that holds what must not be seen."""
    model = make("constrained", WIDTHS)
    pieces, _ = trajectories(model)
    for data in (pieces, torch.cat(pieces)[:20]):
        count = len(data)
        learned = set()
        for bad in range(count):
            spoiled = [x.clone() for x in data] if data is pieces else data.clone()
            spoiled[bad][...] = 1e3
            history = make("constrained", WIDTHS).fit(spoiled, epochs=1, held_out=0.25)
            if history.train[0] > 100:
                learned.add(bad)
                assert history.held_out[0] < 100
            else:
                assert history.held_out[0] > 100
        assert len(learned) == count - round(0.25 * count)


def data_of(model):
    pieces, contexts = trajectories(model)
    return {"x": pieces, "c": contexts, "batch": 40, "lr": 1e-2, "seed": 3}


@every_kind
def test_a_fit_goes_on_where_it_was(kind, tmp_path):
    """In the same process and in another, to the same bits."""
    whole = make(kind, WIDTHS)
    data = data_of(whole)
    expected = whole.fit(**data, epochs=7)
    model, history = make(kind, WIDTHS), History()
    model.fit(**data, epochs=2, history=history)
    assert history.epoch == 2
    model.fit(**data, epochs=4, history=history)
    model.save(tmp_path / "model")
    torch.save(history.state_dict(), tmp_path / "history.pt")
    torch.save(History().state_dict(), tmp_path / "none.pt")
    other, again = type(model).load(tmp_path / "model"), History()
    again.load_state_dict(torch.load(tmp_path / "history.pt"))
    assert (again.train, again.lr) == (history.train, history.lr)
    for one, of in ((model, history), (other, again)):
        assert one.fit(**data, epochs=7, history=of) is of
        assert parameters(one).equal(parameters(whole))
        assert of.train == expected.train
        assert of.held_out == expected.held_out


def test_an_interrupt_keeps_what_was_learned():
    whole = make("modulated", WIDTHS)
    data = data_of(whole)
    whole.fit(**data, epochs=5)
    model, history = make("modulated", WIDTHS), History()

    def interrupted(x, c):
        """In the middle of the third epoch."""
        if history.epoch == 2 and not came:
            came.append(True)
            signal.raise_signal(signal.SIGINT)
        return field(x, c)

    came = []
    with pytest.raises(KeyboardInterrupt):
        model.fit(**data, epochs=5, history=history, f=interrupted, gamma=0.0)
    assert history.epoch == 3
    model.fit(**data, epochs=5, history=history, f=interrupted, gamma=0.0)
    assert history.epoch == 5
    # The loss of velocities counts nothing; but for roundings that is the loss of the other.
    torch.testing.assert_close(parameters(model), parameters(whole), rtol=1e-4, atol=1e-4)


# Files.


@every_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_autoencoder_survives_its_file(kind, dtype, tmp_path):
    options = {"theta": 0.3} if kind == "constrained" else {"hidden": (7, 3), "theta_start": 0.2}
    model = disturb(make(kind, WIDTHS, dtype, **options))
    path = tmp_path / "model.safetensors"
    model.save(path)
    drawn = torch.get_rng_state()
    other = type(model).load(path)
    assert torch.get_rng_state().equal(drawn)
    assert repr(other) == repr(model)
    assert other.state_dict().keys() == model.state_dict().keys()
    assert all(p.requires_grad and p.dtype == dtype for p in other.parameters())
    x, c = draw(model, 6)
    assert other.project(x, c).equal(model.project(x, c))
    other.fit(x, c, epochs=1)
    assert safetensors.torch.load_file(path).keys() == model.state_dict().keys()


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "model"
    ConstrainedAutoencoder(WIDTHS).save(path)
    with pytest.raises(ValueError, match=r"NeuromodulatedAutoencoder.save wrote, got one of Const"):
        NeuromodulatedAutoencoder.load(path)
    with pytest.raises(ValueError, match=r"path must be a file that Backbone.save wrote"):
        load(path)
    safetensors.torch.save_file({"x": torch.ones(2)}, path)
    with pytest.raises(ValueError, match=r"path must be a file that ConstrainedAutoencoder.save"):
        ConstrainedAutoencoder.load(path)


# Errors.

X, C, G = torch.zeros(30, 5), torch.zeros(30, 2), [torch.zeros(4, 5), torch.zeros(6, 5)]
FITS = {
    "no data": (dict(x=3), TypeError, "x must be a tensor or a list of tensors, got int"),
    "width": (dict(x=X[:, :4]), ValueError, r"x must have shape \(\.\.\., 5\), got \(30, 4\)"),
    "no rows": (dict(x=X[:0]), ValueError, r"x must have shape .* got \(0, 5\)"),
    "integers": (dict(x=X.long()), TypeError, "x must be of a floating point type"),
    "type": (dict(x=X.double()), TypeError, "x must be of .*float32, got torch.float64"),
    "no trajectory": (dict(x=[]), ValueError, "x must hold at least one trajectory"),
    "a trajectory": (dict(x=[X, X[0]]), ValueError, r"x 1 must have shape \(T, 5\), got \(5,\)"),
    "no context": (dict(c=None), TypeError, "c must be a tensor, got NoneType"),
    "no contexts": (dict(x=G, c=None), TypeError, "c must be a list of 2 contexts, .* NoneType"),
    "contexts": (dict(x=G, c=[C[0]]), ValueError, "c must hold 2 contexts, .* got 1 of them"),
    "a context": (dict(x=G, c=[C[0], C]), ValueError, r"c 1 must have shape \(2,\), got \(30, 2"),
    "rows of c": (dict(c=C[:7]), ValueError, r"c must have shape \(30, 2\), .* got \(7, 2\)"),
    "contexts' rows": (dict(x=G), ValueError, r"c must have shape \(2, 2\), .* got \(30, 2\)"),
    "velocities": (dict(x_dot=X[:3]), ValueError, r"x_dot must have the shape of x, \(30, 5\)"),
    "gradients": (dict(x=G, c=C[:2], g=X), ValueError, "g must be a list of 2 traj.* got Tensor"),
    "a gradient": (dict(x=G, c=C[:2], g=G[::-1]), ValueError, r"g 0 must have the shape of x 0"),
    "field": (dict(f=3), TypeError, "f must be callable, got int"),
    "field's shape": (
        dict(f=lambda x, c: x[:, :2]),
        ValueError,
        r"what f returns must be as x, \(27, 5\) .*, got \(27, 2\)",
    ),
    "held out": (dict(held_out=1.0), ValueError, r"held_out must be in \[0, 1\), got 1"),
    "held out of few": (dict(x=G, c=C[:2]), ValueError, "held_out must leave some of the 2 traj"),
    "epochs": (dict(epochs=-1), ValueError, "epochs must be at least 0, got -1"),
    "batch": (dict(batch=0), ValueError, "batch must be at least 1, got 0"),
    "lr": (dict(lr=0.0), ValueError, r"lr must be in \(0, inf\), got 0"),
    "gamma": (dict(gamma=-1.0), ValueError, r"gamma must be in \[0, inf\), got -1"),
    "patience": (dict(patience=1.5), TypeError, "patience must be an int, got float"),
    "history": (dict(history=[]), TypeError, "history must be a History, got list"),
    "nan": (dict(x=X * math.nan), FloatingPointError, "the loss is nan"),
}


@pytest.mark.parametrize("what", FITS)
def test_errors_of_fits(what):
    options, error, message = FITS[what]
    with pytest.raises(error, match=message):
        make("modulated", WIDTHS).fit(**{"x": X, "c": C, "epochs": 1, **options})


def test_errors_of_histories():
    model, history = make("modulated", WIDTHS), History()
    model.fit(X, C, epochs=1, history=history)
    with pytest.raises(ValueError, match=r"history must be of the same rows and seed, .* got"):
        model.fit(X[:20], C[:20], epochs=2, history=history)
    with pytest.raises(ValueError, match="history must be of this model"):
        make("modulated", WIDTHS).fit(X, C, epochs=2, history=history)
    with pytest.raises(ValueError, match="c must be None: the autoencoder takes no context"):
        make("constrained", WIDTHS).fit(X, C)
    with pytest.raises(ValueError, match="x_dot or f must be given"):
        reduced.velocity(model, X, c=C)
    with pytest.raises(ValueError, match=r"g must have the shape of x, \(30, 5\), got \(5,\)"):
        reduced.gradient_aligned(model, X, X[0], C)


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


def test_kinds_are_all_of_them():
    """Or a third autoencoder would be tested by nobody here."""
    assert {type(make(kind, WIDTHS)) for kind in KINDS} == {
        ConstrainedAutoencoder,
        NeuromodulatedAutoencoder,
    }
