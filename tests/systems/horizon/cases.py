"""Policies and corridors, and the plain walk that says where a policy breaks."""

import torch
from torch import Tensor

from lrnn_kernels import nn
from lrnn_kernels.nn import members
from lrnn_kernels.tasks.horizon import Corridor, Cue

ACTIONS = 3


class Policy(torch.nn.Module):
    """Layers and a read-out, as a user would write them."""

    def __init__(self, rnn, head=None, actions: int = ACTIONS) -> None:
        super().__init__()
        self.rnn = rnn
        like = next(rnn.parameters())
        self.head = head or torch.nn.Linear(
            members.width(rnn), actions, dtype=like.dtype, device=like.device
        )

    def step(self, x: Tensor, state=None):
        out, state = members.step(self.rnn, x, state, None)
        return self.head(out), state


class Opaque(torch.nn.Module):
    """The same, whose parts cannot be seen."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.inner = policy

    def step(self, x: Tensor, state=None):
        return self.inner.step(x, state)


def one_hot(*which: int, size: int = 4) -> Tensor:
    return torch.eye(size)[list(which)]


def corridor(answers=(1, 2), *, cells=(2,), action: int = 0, shortest: int = 1) -> Corridor:
    """Two cues, inputs 0 and 1; corridor 2, junction 3."""
    cues = [Cue(f"cue {i}", one_hot(i), [0], answer) for i, answer in enumerate(answers)]
    actions = [action] * len(cells)
    return Corridor(cues, one_hot(*cells), actions, one_hot(3)[0], shortest)


@torch.no_grad()
def walked(policy: Policy, env: Corridor, steps: int, piece: int = 20_000):
    """The actions' margins in the corridor and at the junction, (steps, B) each: by sequences in
    pieces, and one batch for the junctions of all cells."""
    rnn, dtype = policy.rnn, next(policy.parameters()).dtype
    states = []
    for cue in env.cues:
        out, state = None, None
        for x in cue.inputs.to(dtype):
            out, state = members.step(rnn, x[None], state, None)
        states.append(state)
    state = _joined(states)
    walking, asked = [], []
    P, B = len(env.inputs), len(env.cues)
    right = torch.tensor(env.actions).repeat(steps // P + 1)[:steps]
    answers = torch.tensor([cue.answer for cue in env.cues])
    for start in range(0, steps, piece):
        count = min(piece, steps - start)
        x = env.inputs[(start + torch.arange(count)) % P].to(dtype)
        befores = []
        if all(hasattr(h, "shape") for h in _flat(state)) and _shows(rnn):
            time = 1 if rnn.batch_first else 0
            out, after = rnn(x.expand(B, -1, -1) if time else x[:, None].expand(-1, B, -1), state)
            out = out if time == 0 else out.transpose(0, 1)  # (count, B, H)
            before = torch.cat([state, out[:-1]])  # (count, B, H)
            logits = policy.head(out)
            junction = env.junction.to(dtype).expand(count * B, -1)
            answer, _ = members.step(rnn, junction, before.reshape(1, count * B, -1), None)
            asked.append(margins(policy.head(answer).unflatten(0, (count, B)), answers))
            state = after
        else:
            logits = []
            for row in x:
                befores.append(state)
                out, state = members.step(rnn, row.expand(B, -1), state, None)
                logits.append(policy.head(out))
            logits = torch.stack(logits)
            many = _joined(befores)
            junction = env.junction.to(dtype).expand(count * B, -1)
            answer, _ = members.step(rnn, junction, many, None)
            asked.append(margins(policy.head(answer).unflatten(0, (count, B)), answers))
        walking.append(margins(logits, right[start : start + count, None].expand(-1, B)))
    return torch.cat(walking), torch.cat(asked)


def breaks_at(walking: Tensor, asked: Tensor, row: int, shortest: int = 1) -> int | None:
    """The smallest horizon that fails, of those that were walked."""
    good = asked[:, row] > 0
    good[: shortest - 1] = True
    walks = torch.cat([torch.ones(1, dtype=torch.bool), (walking[:, row] > 0)[:-1]]).cummin(0)[0]
    wrong = (~(good & walks)).nonzero()
    return None if not len(wrong) else max(int(wrong[0, 0]) + 1, shortest)


def margins(logits: Tensor, action: Tensor) -> Tensor:
    action = action.expand(logits.shape[:-1])[..., None]
    own = logits.gather(-1, action)[..., 0]
    return own - logits.scatter(-1, action, -torch.inf).amax(-1)


def _shows(rnn) -> bool:
    return (
        isinstance(rnn, nn.Recurrent)
        and rnn.num_layers == 1
        and not isinstance(rnn, nn.LRU | nn.SRC | nn.LSTM)
    )


def _flat(state):
    return [state] if isinstance(state, Tensor) else [h for part in state for h in _flat(part)]


def _joined(states):
    if isinstance(states[0], Tensor):
        return torch.cat(states, 1)
    return tuple(_joined(list(part)) for part in zip(*states, strict=True))
