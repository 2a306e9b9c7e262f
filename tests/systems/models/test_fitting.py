"""How autoencoders learn, go on, and are kept."""

import math
import signal

import pytest
import safetensors.torch
import torch

from lrnn_kernels.models import (
    ConstrainedAutoencoder,
    History,
    NeuromodulatedAutoencoder,
    load,
)
from tests.systems.models.test_autoencoder import KINDS, disturb, draw, every_kind, make
from tests.systems.models.test_reduced import WIDTHS, called, field


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


def test_kinds_are_all_of_them():
    """Or a third autoencoder would be tested by nobody here."""
    assert {type(make(kind, WIDTHS)) for kind in KINDS} == {
        ConstrainedAutoencoder,
        NeuromodulatedAutoencoder,
    }
