"""Training of an agent in the T-maze: environment steps per second of our recurrent PPO, beside
sb3-contrib's RecurrentPPO with the same number of units, interleaved, on one thread."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch

from lrnn_kernels import agents, nn
from lrnn_kernels.tasks import t_maze

from ..measure import machine, report
from ..measure.timing import interleave, pieces, ratio

#: Mazes at once, steps of a window, passes over it.
BATCH, STEPS, EPOCHS = 128, 32, 4
#: So that both act alike: hardly better than at first.
LR = 3e-4
UNITS = (32, 64)
LAYERS = ("LSTM", "GRU", "BMRU", "BRC")
PEER = "sb3-contrib, torch.nn.LSTM"
INSTALL = "sb3-contrib is not installed: pip install 'lrnn-kernels[rl-peers]'; ours alone"
HEADER = ("agent", "units", "steps / s", "by sb3-contrib")


def ours(layer: torch.nn.Module) -> Callable[[], object]:
    """An iteration of PPO."""
    policy = agents.Policy(layer, 4)
    settings = agents.PPOSettings(
        iterations=10**6, steps=STEPS, epochs=EPOCHS, kl=None, lr=LR, last_lr=1.0
    )
    ppo = agents.PPO(policy, t_maze.TMaze(batch_size=BATCH, seed=0), settings)
    return lambda: ppo.train(iterations=1)


def peer(units: int) -> Callable[[], object] | None:
    """An iteration of theirs, with as many steps, passes and parameters: one LSTM for actor and
    critic, linear maps of its outputs, one minibatch. None where it is not installed."""
    try:
        from sb3_contrib import RecurrentPPO
    except ModuleNotFoundError:
        return None
    model = RecurrentPPO(
        "MlpLstmPolicy",
        _their_environment(),
        n_steps=STEPS,
        batch_size=BATCH * STEPS,
        n_epochs=EPOCHS,
        learning_rate=LR,
        gamma=0.98,
        device="cpu",
        seed=0,
        policy_kwargs={
            "lstm_hidden_size": units,
            "shared_lstm": True,
            "enable_critic_lstm": False,
            "net_arch": [],
        },
    )
    return lambda: model.learn(BATCH * STEPS, reset_num_timesteps=False)


def _their_environment():
    """The same core as a VecEnv of theirs, without a loop over mazes but for the last observation
    of each episode, which theirs are to have."""
    from stable_baselines3.common.vec_env import VecEnv

    class Mazes(VecEnv):
        def __init__(self) -> None:
            from lrnn_kernels.tasks.gym import TMazeVectorEnv

            self.core = t_maze.TMaze(batch_size=BATCH, seed=0)
            spaces = TMazeVectorEnv(1)
            super().__init__(BATCH, spaces.single_observation_space, spaces.single_action_space)

        def reset(self) -> np.ndarray:
            return self.core.reset().numpy()

        def step_async(self, actions: np.ndarray) -> None:
            self.action = torch.from_numpy(actions)

        def step_wait(self):
            seen, reward, terminated, truncated = self.core.step(self.action)
            over = terminated | truncated
            infos: list[dict] = [{} for _ in range(BATCH)]
            for i in over.nonzero().flatten().tolist():
                infos[i]["terminal_observation"] = seen[i].numpy()
                infos[i]["TimeLimit.truncated"] = bool(truncated[i])
            if bool(over.any()):
                seen = self.core.reset(over)
            return seen.numpy(), reward.numpy(), over.numpy(), infos

        def close(self) -> None:
            pass

        def get_attr(self, name, indices=None):
            return [None] * BATCH

        def set_attr(self, name, value, indices=None) -> None:
            raise NotImplementedError

        def env_method(self, name, *args, indices=None, **kwargs):
            raise NotImplementedError

        def env_is_wrapped(self, wrapper, indices=None):
            return [False] * BATCH

    return Mazes()


def run(rounds: int, budget: float) -> list[dict]:
    rows = []
    for units in UNITS:
        torch.manual_seed(0)
        cases = {
            f"ours, nn.{name}": ours(getattr(nn, name)(4, units, batch_first=True))
            for name in LAYERS
        }
        cases["ours, torch.nn.LSTM"] = ours(torch.nn.LSTM(4, units, batch_first=True))
        theirs = peer(units)
        if theirs is not None:
            cases[PEER] = theirs
        times = interleave(cases, rounds, budget)
        for name in cases:
            by = round(ratio(times, PEER, name), 2) if theirs is not None else None
            speed = round(BATCH * STEPS / median(times[name]))
            rows.append({"agent": name, "units": units, "steps_per_second": speed, "by_peer": by})
    return rows


def main(*, quick: bool, out: Path) -> None:
    torch.set_num_threads(1)
    about = machine.describe()
    rows = run(3, 5.0) if quick else run(20, 40.0)
    content = {"machine": about, "quick": quick, "pieces": dict(pieces), "agents": rows}
    show(content)
    print(f"\nResults: {report.save(content, out, f'agents-{machine.slug(about)}')}")


def show(content: dict) -> None:
    about = content["machine"]
    print(
        f"{about['cpu']}, 1 thread, float32, torch {about['torch']}; {BATCH} mazes, windows of "
        f"{STEPS} steps, {EPOCHS} passes; medians"
    )
    if all(row["by_peer"] is None for row in content["agents"]):
        print(INSTALL)
    print(report.table(HEADER, [cells(row) for row in content["agents"]]))


def markdown(content: dict) -> list[str]:
    return report.markdown(HEADER, [cells(row) for row in content["agents"]])


def cells(row: dict) -> list[str]:
    by = "" if row["by_peer"] is None else f"{row['by_peer']:.1f}"
    return [row["agent"], str(row["units"]), f"{row['steps_per_second']:,}", by]
