"""What this installation is and can do, in words: ``python -m lrnn_kernels info``."""

from __future__ import annotations

from pathlib import Path

from .build import environment, toolchain
from .fixed_point import library
from .version import __version__

try:
    import torch

    from . import cuda_backend, extension, testing
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    torch = None


def report() -> str:
    """Version, build, instruction sets, torch, output pool and backends, one line each."""
    lines = [("lrnn_kernels", __version__), ("fixed point", _fixed_point())]
    lines += _torch() if torch else [("torch", "none: only lrnn_kernels.fixed_point works")]
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name.ljust(width)}  {text}" for name, text in lines)


def _torch() -> list[tuple[str, str]]:
    lines = [("kernels", _kernels()), ("CUDA kernels", _cuda_kernels())]
    if extension.available:
        lines += [("instruction set", _isa()), ("output pool", _pool())]
    lines += [("torch", f"{torch.__version__}, {torch.get_num_threads()} threads")]
    lines += [("CUDA", f"{torch.version.cuda or 'not in this torch'}, {torch.cuda.device_count()} devices")]
    lines += [(f"backend {name}", why or "available") for name, why in testing.backends().items()]
    return [*lines, ("backend reference", "available")]


def _fixed_point() -> str:
    try:
        module, path, reason = library.load()
    except RuntimeError as error:
        return f"none: {error}"
    return f"{_place(path)}, {reason}, {module.isa()}"


def _kernels() -> str:
    if extension.extension.path is None:
        return f"none: {extension.reason}"
    return f"{_place(extension.extension.path)}, {extension.reason}"


def _cuda_kernels() -> str:
    state = cuda_backend.state
    return f"none: {state.reason}" if state.path is None else f"{_place(state.path)}, {state.reason}"


def _place(path: Path) -> str:
    """Where the library lies, relative to what a user knows: the package, the cache or the home directory."""
    for name, root in (("the package", Path(__file__).parent), ("the cache", environment.cache())):
        if path.is_relative_to(root):
            return f"{path.relative_to(root)} in {name}"
    return path.name


def _isa() -> str:
    library = extension.extension.library
    available = [name for number, name in enumerate(toolchain.X86_ISAS) if library.lrnn_isa_available(number)]
    return f"{library.lrnn_isa().decode()}, of {', '.join(available)}"


def _pool() -> str:
    from . import memory

    stats = memory.stats()
    numbers = {"in use": stats.in_use, "cached": stats.cached, "limit": stats.limit, "mapped since the start": stats.mapped_total}
    return ", ".join(f"{name} {value / 2**20:.0f} MiB" for name, value in numbers.items())
