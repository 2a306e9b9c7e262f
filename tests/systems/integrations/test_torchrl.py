"""Our layers in TorchRL: as its own GRUModule with the same parameters, and over rollouts."""

import copy
import importlib
import pickle
import sys

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule, TensorDictSequential
from torchrl.collectors import Collector
from torchrl.envs import GymEnv, InitTracker, SerialEnv, TransformedEnv
from torchrl.modules import GRUModule, ProbabilisticActor, ValueOperator, set_recurrent_mode
from torchrl.modules.utils import get_primers_from_module
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE

from lrnn_kernels import nn
from lrnn_kernels.integrations.torchrl import RecurrentModule

# TorchRL's import switches it off, for all other tests, too.
torch.distributions.Distribution.set_default_validate_args(__debug__)

LAYERS = {
    "GRU": lambda **form: nn.GRU(4, 8, num_layers=2, initial_state="learned", **form),
    "BMRU": lambda **form: nn.BMRU(4, 8, **form),
    "LRU": lambda **form: nn.LRU(4, 8, **form),
    "SRC": lambda **form: nn.SRC(4, 8, **form),
    "Stack": lambda **form: nn.Stack(nn.LSTM(4, 8, **form), nn.CMRU(8, 8, **form)),
}


def _pair():
    """TorchRL's module, and ours of the same parameters."""
    theirs = GRUModule(4, 8, 2, in_key="observation", out_key="features")
    layer = nn.GRU(4, 8, 2, batch_first=True)
    layer.load_state_dict(theirs.gru.state_dict())
    return theirs, RecurrentModule(layer, in_key="observation", out_key="features")


def _data(*shape: int) -> TensorDict:
    """Random steps; where an episode starts, the stored state is 0, as a primer's."""
    torch.manual_seed(0)
    is_init = torch.rand(*shape, 1) < 0.3
    state = torch.randn(*shape, 2, 8) * ~is_init[..., None]
    content = {"observation": torch.randn(*shape, 4), "is_init": is_init, "recurrent_state": state}
    return TensorDict(content, batch_size=shape)


@pytest.mark.parametrize("shape", [(), (5,), (2, 5)])
def test_a_step_is_that_of_torchrls_gru(shape):
    theirs, ours = _pair()
    assert ours.in_keys == theirs.in_keys
    assert ours.out_keys == theirs.out_keys
    want, got = theirs(_data(*shape)), ours(_data(*shape))
    assert set(got.keys(True)) == set(want.keys(True))
    torch.testing.assert_close(got["features"], want["features"])
    torch.testing.assert_close(got["next", "recurrent_state"], want["next", "recurrent_state"])


@pytest.mark.parametrize("shape", [(9,), (5, 9), (2, 3, 9)])
def test_a_sequence_is_that_of_torchrls_gru(shape):
    """Gradients too; states after it are compared where it ends."""
    theirs, ours = _pair()
    with set_recurrent_mode(True):
        want, got = theirs(_data(*shape)), ours(_data(*shape))
    torch.testing.assert_close(got["features"], want["features"])
    last = (..., -1, slice(None), slice(None))
    state = "next", "recurrent_state"
    assert got[state].shape == want[state].shape
    torch.testing.assert_close(got[state][last], want[state][last])
    weight = torch.randn_like(got["features"])
    for found in (want, got):
        (found["features"] * weight).sum().backward()
    for name, p in theirs.gru.named_parameters():
        torch.testing.assert_close(getattr(ours.layer, name).grad, p.grad, rtol=1e-4, atol=1e-5)


def test_without_stored_states_an_episode_begins():
    theirs, ours = _pair()
    data = _data(5, 9).exclude("recurrent_state")
    for mode in (False, True):
        # A step without a state can only begin; a sequence may go on from one that was not kept.
        data["is_init"][:] = not mode
        with set_recurrent_mode(mode):
            want, got = theirs(data.clone()), ours(data.clone())
        torch.testing.assert_close(got["features"], want["features"])


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_a_rollout_is_replayed_as_a_sequence(name, batch_first):
    """CartPole ends within it, so that episodes start."""
    torch.manual_seed(0)
    memory = RecurrentModule(
        LAYERS[name](batch_first=batch_first), in_key="observation", out_key="features"
    )

    def act(features):
        return torch.nn.functional.one_hot((features.sum(-1) > 0).long(), 2)

    policy = TensorDictSequential(
        memory, TensorDictModule(act, in_keys=["features"], out_keys=["action"])
    )
    env = TransformedEnv(GymEnv("CartPole-v1"), InitTracker())
    env = env.append_transform(get_primers_from_module(policy))
    env.set_seed(0)
    with torch.no_grad():
        played = env.rollout(60, policy, break_when_any_done=False)
        assert played["is_init"].sum() > 2
        with set_recurrent_mode(True):
            replayed = memory(played.exclude("features", "next"))
    torch.testing.assert_close(replayed["features"], played["features"])
    for key in memory.out_keys[1:]:
        torch.testing.assert_close(replayed[key][-1], played[key][-1])


def test_ppo_finds_the_policy_that_played():
    """Over a collector's frames: the same log-probabilities, and gradients of all parameters."""
    torch.manual_seed(0)
    memory = RecurrentModule(LAYERS["Stack"](), in_key="observation", out_key="features")
    head = TensorDictModule(torch.nn.Linear(8, 2), in_keys=["features"], out_keys=["logits"])
    actor = ProbabilisticActor(
        TensorDictSequential(memory, head),
        in_keys=["logits"],
        distribution_class=torch.distributions.Categorical,
        return_log_prob=True,
    )
    critic = TensorDictSequential(memory, ValueOperator(torch.nn.Linear(8, 1), ["features"]))
    envs = SerialEnv(2, lambda: GymEnv("CartPole-v1", categorical_action_encoding=True))
    env = TransformedEnv(envs, InitTracker()).append_transform(memory.make_tensordict_primer())
    env.set_seed(0)
    (data,) = Collector(env, actor, frames_per_batch=100, total_frames=100)
    assert data["is_init"].sum() > 2
    loss = ClipPPOLoss(actor, critic)
    with torch.no_grad():
        GAE(gamma=0.99, lmbda=0.95, value_network=critic, shifted=True)(data)
    found = loss(data)
    assert abs(found["kl_approx"]) < 1e-6
    (found["loss_objective"] + found["loss_critic"]).backward()
    assert all(p.grad is not None for p in memory.parameters())


def test_it_is_copied_and_pickled():
    _, memory = _pair()
    data = _data(5)
    want = memory(data.clone())["features"]
    for other in (copy.deepcopy(memory), pickle.loads(pickle.dumps(memory))):
        assert torch.equal(other(data.clone())["features"], want)


def test_the_default_mode_is_kept_where_none_is_said():
    memory = RecurrentModule(
        nn.BMRU(4, 8), in_key="observation", out_key="features", default_recurrent_mode=True
    )
    assert memory.recurrent_mode
    with set_recurrent_mode(False):
        assert not memory.recurrent_mode
    with pytest.raises(ValueError, match="dimension of time"):
        memory(_data())


def test_keys_of_ones_own():
    memory = RecurrentModule(
        nn.LSTM(4, 8), in_keys=["o", "h", "c"], out_keys=["y", ("next", "h"), ("next", "c")]
    )
    assert memory.in_keys == ["o", "h", "c", "is_init"]
    specs = memory.make_tensordict_primer().primers
    assert {key: tuple(specs[key].shape) for key in ("h", "c")} == {"h": (1, 8), "c": (1, 8)}
    y, *_ = memory(o=torch.randn(3, 4), is_init=torch.ones(3, 1, dtype=torch.bool))
    assert y.shape == (3, 8)


def test_wrong_arguments_are_refused():
    with pytest.raises(TypeError, match="layer must be a recurrent layer"):
        RecurrentModule(torch.nn.GRU(4, 8), in_key="o", out_key="y")
    with pytest.raises(RuntimeError, match="one direction"):
        RecurrentModule(nn.GRU(4, 8, bidirectional=True), in_key="o", out_key="y")
    with pytest.raises(ValueError, match="either in_key or in_keys must be given"):
        RecurrentModule(nn.GRU(4, 8), out_key="y")
    with pytest.raises(ValueError, match="out_keys must be a key and 2 of states"):
        RecurrentModule(nn.LSTM(4, 8), in_key="o", out_keys=["y", "h"])
    memory = RecurrentModule(nn.GRU(4, 8), in_keys=["o", "h"], out_keys=["y", "h"])
    with pytest.raises(RuntimeError, match="must be \\('next', KEY\\)"):
        memory.make_tensordict_primer()


def test_without_the_extra_its_name_is_said(monkeypatch, absent):
    monkeypatch.delitem(sys.modules, RecurrentModule.__module__)
    absent("torchrl")
    with pytest.raises(ImportError, match=r"needs torchrl: pip install 'lrnn-kernels\[torchrl\]'"):
        importlib.import_module(RecurrentModule.__module__)


def test_a_transform_that_was_forgotten_is_named():
    """Without the state of the step before, or without what says that none is needed, nothing is
    remembered, and nobody would notice."""
    _, ours = _pair()
    data = _data(2, 5)
    with pytest.raises(ValueError, match=r"'is_init'.*InitTracker\(\)"):
        ours(data.exclude("is_init"))
    lacking = data.exclude("recurrent_state")
    lacking["is_init"][:] = False
    with pytest.raises(ValueError, match=r"'recurrent_state'.*make_tensordict_primer\(\)"):
        ours(lacking)
