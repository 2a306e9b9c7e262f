"""Arguments of the tasks, checked: errors name the argument, what was got and what was expected."""

from __future__ import annotations

import torch


def integer(name: str, value: object, least: int = 1) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, got {type(value).__name__}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return value


def on_cpu(generator: object) -> None:
    """Draws on other devices are other draws."""
    if not isinstance(generator, torch.Generator):
        raise TypeError(
            f"generator must be a torch.Generator on the CPU, got {type(generator).__name__}"
        )
    if generator.device.type != "cpu":
        raise ValueError(f"generator must be on the CPU, got one on {generator.device}")


def one_of(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")


def sizes(batch_size: object, steps: object, generator: object, least: int = 2) -> None:
    """What every generated batch is given; fewer than ``least`` steps have no room for the task."""
    integer("batch_size", batch_size)
    integer("steps", steps, least)
    on_cpu(generator)
