"""Parameters of the layers: their names, how the papers draw them, initial states, and the
anneal of eps."""

import math
import re
import warnings

import pytest
import torch

from lrnn_kernels import nn
from tests.layers.cases import PLAIN, assert_same, each, make, plain_layers

KEYS = {
    "BMRU": ["weight_ih_l0", "bias_ih_l0", "alpha_l0", "s0_l0"],
    "CMRU": ["weight_ih_l0", "bias_ih_l0", "alpha_l0", "s0_l0"],
    "AlphaCMRU": ["weight_ih_l0", "bias_ih_l0", "h0_l0"],
    "FQBMRU": ["weight_ih_l0", "bias_ih_l0", "p1_l0", "p2_l0", "alpha_l0", "s0_l0"],
    "LRU": ["nu_l0", "theta_l0", "gamma_l0", "weight_ih_l0", "weight_ho_l0", "skip_l0"],
    "MinGRU": ["weight_ih_l0", "bias_ih_l0"],
    "SRC": ["weight_ih_l0", "bias_l0"],
    "BRC": ["weight_ih_l0", "bias_ih_l0", "w_a_l0", "w_c_l0"],
    "NBRC": ["weight_ih_l0", "bias_ih_l0", "w_a_l0", "w_c_l0"],
    "GRU": ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"],
    "LSTM": ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"],
    "MGU": ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0"],
}
SHAPES = {  # of a layer with 5 inputs and 8 units, where the key alone does not tell
    "BMRU": {"weight_ih": (16, 5), "bias_ih": (16,)},
    "CMRU": {"weight_ih": (16, 5), "bias_ih": (16,)},
    "AlphaCMRU": {"weight_ih": (24, 5), "bias_ih": (24,)},
    "FQBMRU": {"weight_ih": (8, 5), "bias_ih": (8,)},
    "LRU": {"weight_ih": (16, 5), "weight_ho": (8, 16), "skip": (8, 5)},
    "MinGRU": {"weight_ih": (16, 5), "bias_ih": (16,)},
    "SRC": {"weight_ih": (8, 5)},
    "BRC": {"weight_ih": (24, 5), "bias_ih": (16,)},
    "NBRC": {"weight_ih": (24, 5), "bias_ih": (16,), "w_a": (8, 8), "w_c": (8, 8)},
    "GRU": {"weight_ih": (24, 5), "weight_hh": (24, 8), "bias_ih": (24,), "bias_hh": (24,)},
    "LSTM": {"weight_ih": (32, 5), "weight_hh": (32, 8), "bias_ih": (32,), "bias_hh": (32,)},
    "MGU": {"weight_ih": (16, 5), "weight_hh": (16, 8), "bias_ih": (16,)},
}
hysteresis = pytest.mark.parametrize("cls", [nn.BMRU, nn.CMRU, nn.FQBMRU])


@plain_layers
def test_the_docstring_names_every_parameter(name):
    """With bias and a learned initial state, where the layer has them."""
    docs = [cls.__doc__ or "" for cls in PLAIN[name].__mro__]
    docs += [PLAIN[other].__doc__ for other in re.findall(r"state_dict: see ``(\w+)``", docs[0])]
    found = set()
    for doc in docs:
        for line in doc.partition("state_dict, for layer k")[2].splitlines():
            found |= {f"{key}_l0" for key in re.findall(r"(\w+)_l\{k\}", line.partition(":")[0])}
    assert found == set(PLAIN[name](5, 8, bias=True, initial_state="learned").state_dict())


@pytest.mark.parametrize("name", KEYS)
def test_state_dict_keys_are_frozen(name):
    state = PLAIN[name](5, 8).state_dict()
    assert list(state) == KEYS[name]
    for key, value in state.items():
        assert value.shape == SHAPES.get(name, {}).get(key.removesuffix("_l0"), (8,))
    both = PLAIN[name](5, 8, 2, bidirectional=True).state_dict()
    first = [*KEYS[name], *(k + "_reverse" for k in KEYS[name])]
    assert list(both) == [*first, *(k.replace("_l0", "_l1") for k in first)]
    assert both["weight_ih_l1"].shape[1] == 16


def test_options_add_and_remove_keys():
    assert "bias_ih_l0" not in nn.BMRU(5, 8, bias=False).state_dict()
    assert "s0_l0" not in nn.FQBMRU(5, 8, initial_state="zero").state_dict()
    assert "h0_l0" in nn.MinGRU(5, 8, initial_state="learned").state_dict()
    lru = nn.LRU(8, 8, bias=True, initial_state="learned").state_dict()
    assert lru["h0_l0"].shape == (16,)
    assert lru["bias_ho_l0"].shape == (8,)
    assert lru["skip_l0"].shape == (8,)


@pytest.mark.parametrize("cls", [nn.BMRU, nn.CMRU, nn.AlphaCMRU, nn.MinGRU])
def test_weights_are_lecun_normal(cls):
    torch.manual_seed(0)
    weight = cls(100, 1000).weight_ih_l0
    n = weight.numel()
    # Four standard errors: of the mean, std/sqrt(n); of the variance, less than var sqrt(2/n), the
    # normal's.
    assert abs(weight.mean()) < 4 * 0.1 / math.sqrt(n)
    assert abs(weight.var() - 0.01) < 4 * 0.01 * math.sqrt(2 / n)
    assert weight.abs().max() <= 2 * 0.1 / 0.8796


def test_biases_start_as_in_the_papers():
    H = 8
    for cls in (nn.BMRU, nn.CMRU, nn.AlphaCMRU):
        bias = cls(5, H).bias_ih_l0
        assert (bias[:H] == 0).all()
        assert (bias[H:] == 1).all()
    assert (nn.FQBMRU(5, H).bias_ih_l0 == 0.5).all()


def test_alpha_starts_at_one_and_the_learned_state_on_a_level():
    torch.manual_seed(0)
    for cls, levels in ((nn.BMRU, [-1.0, 1.0]), (nn.CMRU, [-1.0, 1.0]), (nn.FQBMRU, [0.0, 1.0])):
        layer = cls(5, 1000)
        assert (layer.alpha_l0 == 1).all()
        assert layer.s0_l0.unique().tolist() == levels
        assert abs((layer.s0_l0 == 1).float().mean() - 0.5) < 4 * 0.5 / math.sqrt(1000)
    assert nn.AlphaCMRU(5, 1000).h0_l0.unique().tolist() == [-1.0, 1.0]


def test_first_quadrant_weights_and_thresholds():
    torch.manual_seed(0)
    layer = nn.FQBMRU(100, 1000)
    weight = layer.weight_ih_l0
    assert weight.min() >= 0
    assert weight.max() <= 0.1
    assert abs(weight.mean() - 0.05) < 1e-3  # U(0, 0.1): the standard error is 1e-4
    for p, scale in ((layer.p1_l0, 0.15), (layer.p2_l0, 0.35)):
        assert 0.8 * scale <= p.min() < 0.82 * scale
        assert 1.18 * scale < p.max() <= 1.2 * scale


@pytest.mark.parametrize(
    ("r_min", "r_max", "max_phase"), [(0.0, 1.0, 6.28), (0.9, 0.999, 6.28), (0.5, 0.5, 0.3)]
)
def test_lru_is_drawn_on_the_ring(r_min, r_max, max_phase):
    torch.manual_seed(0)
    n = 4000
    layer = nn.LRU(16, n, r_min=r_min, r_max=r_max, max_phase=max_phase)
    lam = layer._scan_params(layer._parameters_of(0, False))[0]
    radius = lam.abs()
    assert r_min - 1e-6 <= radius.min()
    assert radius.max() <= r_max + 1e-6
    # Uniform on the ring: the squared radius is uniform, and so is the phase. Four standard errors
    # of a uniform mean.
    error = 4 / math.sqrt(12 * n)
    assert (
        abs((radius**2).mean() - (r_min**2 + r_max**2) / 2) < error * (r_max**2 - r_min**2) + 1e-6
    )
    phase = layer.theta_l0.exp()
    assert phase.max() <= max_phase
    assert abs(phase.mean() - max_phase / 2) < error * max_phase
    torch.testing.assert_close(layer.gamma_l0.exp() ** 2, 1 - radius**2, rtol=1e-3, atol=1e-6)


def test_lru_projections():
    torch.manual_seed(0)
    for layer, skip in ((nn.LRU(256, 256), 1.0), (nn.LRU(64, 256), 1 / 8)):
        for p, std in (
            (layer.weight_ih_l0, 1 / math.sqrt(2 * layer.input_size)),
            (layer.weight_ho_l0, 1 / 16),
            (layer.skip_l0, skip),
        ):
            assert abs(p.std() / std - 1) < 4 / math.sqrt(2 * p.numel())


@hysteresis
def test_a_learned_initial_state_is_alpha_s0(cls):
    layer = cls(5, 4, dtype=torch.float64, **({} if cls is nn.CMRU else {"eps": 1.0}))
    with torch.no_grad():
        layer.weight_ih_l0.zero_()  # nothing is written, so the state stays
        layer.bias_ih_l0.copy_(
            torch.tensor(0.3) if cls is nn.FQBMRU else torch.tensor([0.0] * 4 + [1.0] * 4)
        )
        layer.alpha_l0.copy_(torch.tensor([1.0, 2.0, -3.0, 4.0]))
        layer.s0_l0.copy_(torch.tensor([1.0, 0.0, 1.0, 1.0]))
    out, h_n = layer(torch.zeros(3, 2, 5, dtype=torch.float64))
    expected = torch.tensor([1.0, 0.0, -3.0, 4.0], dtype=torch.float64)
    assert_same(out, expected.expand(3, 2, 4))
    h_n.sum().backward()
    if cls is not nn.FQBMRU:  # two sequences, each with dh/ds0 = alpha and dh/dalpha = s0
        assert_same(layer.s0_l0.grad, 2 * layer.alpha_l0.detach())
        assert_same(layer.alpha_l0.grad, 2 * layer.s0_l0.detach())


@hysteresis
def test_a_quantized_initial_state_is_a_level(cls):
    layer = cls(5, 4, quantize_initial_state=True)
    with torch.no_grad():
        layer.s0_l0.copy_(torch.tensor([-0.3, 0.0, 0.6, 1.7]))
    state = layer._initial(layer._parameters_of(0, False))
    assert state.tolist() == ([0.0, 0.0, 1.0, 1.0] if cls is nn.FQBMRU else [-1.0, 1.0, 1.0, 1.0])
    state.sum().backward()
    assert (layer.s0_l0.grad > 0).all()  # the surrogate


@plain_layers
def test_a_given_state_takes_the_initial_ones_place(name):
    layer = make(name, 5, 4, initial_state="learned")
    x = torch.randn(6, 3, 5, dtype=torch.float64)
    p = layer._parameters_of(0, False)
    h_0 = layer._load([layer._initial(p).expand(3, -1)], torch.stack)
    assert_same(layer(x, h_0), layer(x))
    assert not torch.equal(layer(x, each(lambda h: h + 1, h_0))[0], layer(x)[0])


def test_eps_follows_its_schedule():
    model = torch.nn.Sequential(
        nn.BMRU(2, 3), torch.nn.Linear(3, 3), nn.FQBMRU(3, 2), nn.CMRU(2, 2)
    )
    schedule = nn.EpsAnneal(model, hold=2, decay=4)
    seen = []
    for _ in range(8):
        assert model[0].eps == model[2].eps == schedule.eps
        seen.append(model[0].eps)
        schedule.step()
    assert seen == [1.0, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]


def test_the_schedule_resumes():
    layer = nn.BMRU(2, 3)
    first = nn.EpsAnneal(layer, hold=1, decay=4)
    first.step()
    first.step()
    state = first.state_dict()
    other = nn.BMRU(2, 3)
    nn.EpsAnneal(other).load_state_dict(state)
    assert other.eps == layer.eps == 0.75


@pytest.mark.parametrize("cls", [nn.BMRU, nn.FQBMRU])
def test_parameters_of_another_eps_are_told(cls, tmp_path):
    """Also through a file, and wherever a layer lies; the parameters are loaded all the same."""
    trained = torch.nn.Sequential(torch.nn.Linear(2, 2), cls(2, 3, eps=0.25))
    torch.save(trained.state_dict(), tmp_path / "net.pt")
    state = torch.load(tmp_path / "net.pt", weights_only=True)
    other = torch.nn.Sequential(torch.nn.Linear(2, 2), cls(2, 3))
    told = f"parameters of 1 are of a {cls.__name__} with eps = 0.25, .* one with eps = 0,"
    with pytest.warns(UserWarning, match=told):
        other.load_state_dict(state)
    assert all(map(torch.equal, trained.parameters(), other.parameters()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trained.load_state_dict(state)
        other.load_state_dict(dict(state))  # nothing is known of it
        nn.CMRU(2, 3).bmru(eps=0.5)


def test_the_schedule_of_a_run_and_of_no_decay():
    schedule = nn.EpsAnneal.over(nn.BMRU(2, 3), 1000)
    assert (schedule.hold, schedule.decay) == (50, 700)
    layer = nn.BMRU(2, 3)
    nn.EpsAnneal(layer, hold=0, decay=0)
    assert layer.eps == 0.0


def test_the_schedule_in_fractions_of_a_run():
    schedule = nn.EpsAnneal.over(nn.BMRU(2, 3), 800, hold=0.3, decay=0.4)
    assert (schedule.hold, schedule.decay) == (240, 320)
    for _ in range(560):
        assert not schedule.done
        schedule.step()
    assert schedule.done
    assert schedule.layers[0].eps == 0.0


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda layer: nn.EpsAnneal(layer, hold=0.3, decay=0.4),
            ValueError,
            r"hold must be a whole number, got 0.3; fractions of a run: EpsAnneal.over\(",
        ),
        (lambda layer: nn.EpsAnneal(layer, decay=-1), ValueError, "decay must be at least 0"),
        (lambda layer: nn.EpsAnneal(layer, hold=True), TypeError, "hold must be a whole number"),
        (
            lambda layer: nn.EpsAnneal.over(layer, 100, hold=0.6, decay=0.5),
            ValueError,
            r"hold \+ decay must be at most 1, the whole run, got 0.6 \+ 0.5",
        ),
        (lambda layer: nn.EpsAnneal.over(layer, 0.5), ValueError, "steps must be a whole number"),
    ],
)
def test_fractions_given_as_steps_are_refused(call, error, words):
    with pytest.raises(error, match=words):
        call(nn.BMRU(2, 3))


def test_the_schedule_needs_a_layer_with_eps():
    with pytest.raises(ValueError, match=r"model must contain a layer with eps .*eps=1.0"):
        nn.EpsAnneal(nn.CMRU(2, 3))


@pytest.mark.parametrize("cls", [nn.BMRU, nn.CMRU, nn.AlphaCMRU])
def test_thresholds_at_the_start(cls):
    H = 64
    assert torch.equal(cls(2, H).bias_ih_l0[H : 2 * H], torch.ones(H))
    assert torch.equal(cls(2, H, beta_init=3.0).bias_ih_l0[H : 2 * H], torch.full((H,), 3.0))
    layer = cls(2, H, 2, bidirectional=True, beta_init=(0.5, 2.0))
    for name in ("bias_ih_l0", "bias_ih_l0_reverse", "bias_ih_l1"):
        drawn = getattr(layer, name)[H : 2 * H]
        assert 0.5 <= drawn.min() < 0.8 < 1.7 < drawn.max() <= 2.0
        assert not getattr(layer, name)[:H].any()
    with pytest.raises(ValueError, match=r"beta_init must be \(low, high\) with low <= high"):
        cls(2, H, beta_init=(2.0, 0.5))
    with pytest.raises(TypeError, match="beta_init must be a number, got str"):
        cls(2, H, beta_init="high")


def test_gates_at_the_start():
    """Closed enough to remember; open, as they were, on request."""
    H = 64
    drawn = nn.MinGRU(2, H).bias_ih_l0
    assert -6.0 <= drawn[:H].min() < -5.0 < -2.0 < drawn[:H].max() <= -1.0
    assert not drawn[H:].any()
    assert not nn.MinGRU(2, H, gate_init=0.0).bias_ih_l0.any()
    with pytest.raises(ValueError, match="gate_init must be a number or"):
        nn.MinGRU(2, H, gate_init=(1.0, 2.0, 3.0))


def test_arguments_that_no_layer_takes_are_named():
    layer, x = nn.BMRU(5, 4), torch.randn(3, 2, 5)
    with pytest.raises(TypeError, match="BMRU takes no argument 'beta'"):
        nn.BMRU(5, 4, beta=3.0)
    with pytest.raises(
        TypeError, match="BMRU takes no argument 'h0': a layer's initial state is h_0"
    ):
        layer(x, h0=None)
    with pytest.raises(
        TypeError, match=r"x must be of a floating point type, got torch.int64; x.fl"
    ):
        layer(x.long())
    with pytest.raises(TypeError, match=r"x must be of a floating point type, got torch.bool"):
        layer.step(x[0] > 0)


def test_eps_is_checked_where_it_is_set():
    layer = nn.BMRU(2, 3)
    with pytest.raises(ValueError, match=r"threshold must be below 1, as .h. is, got 1.0"):
        nn.SRC(2, 3, threshold=1.0)
    for given in ({"surrogate": "sigmoid"}, {"width": 2.0}):
        with pytest.raises(ValueError, match="threshold must be given with surrogate and width"):
            nn.SRC(2, 3, **given)
    with pytest.raises(ValueError, match=r"eps must be in \[0, 1\], got 1.5"):
        layer.eps = 1.5


def test_repr_shows_what_differs_from_the_default():
    assert repr(nn.BMRU(28, 256, 2, batch_first=True, eps=0.5)) == (
        "BMRU(28, 256, num_layers=2, batch_first=True, initial_state='learned', eps=0.5, "
        "width=1.0, beta_init=1.0, quantize_initial_state=False)"
    )
