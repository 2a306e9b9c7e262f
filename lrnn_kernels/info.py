"""What this installation is and can do, in words: ``python -m lrnn_kernels info``."""

from __future__ import annotations

from pathlib import Path

from . import machine
from .backends.build import environment, toolchain
from .fixed_point import library
from .version import __version__

try:
    import torch

    from .backends import choose, cpu, cuda
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    torch = None


def report() -> str:
    """All that an issue should tell, a line each: this package, what was compiled and where it
    lies, what runs, the packages and the machine around it. The home folder is shown as ~."""
    root = Path(__file__).parent
    revision = machine.revision(root.parent)
    lines = [("lrnn_kernels", f"{__version__}{revision and f', revision {revision}'}")]
    lines += [("package", str(root)), ("fixed point", _fixed_point())]
    lines += _torch() if torch else [("torch", "none: only lrnn_kernels.fixed_point works")]
    lines += _machine()
    width = max(len(name) for name, _ in lines)
    text = "\n".join(f"{name.ljust(width)}  {text}" for name, text in lines)
    return machine.without_home(text)


def _machine() -> list[tuple[str, str]]:
    (place, *kept) = machine.cache()
    return [
        ("Python", machine.python()),
        ("packages", machine.packages("numpy", "triton", "ninja", "pybind11", "setuptools")),
        ("extras", machine.extras()),
        ("system", machine.system()),
        ("processor", machine.processor()),
        ("C++ compiler", machine.compiler()),
        ("CUDA compiler", machine.nvcc()),
        ("variables", machine.variables()),
        ("cache", place),
        *(("", name) for name in kept),
    ]


def _gpus() -> list[tuple[str, str]]:
    """Torch's CUDA, or ROCm, and each device that it sees."""
    built = torch.version.hip and f"ROCm {torch.version.hip}"
    built = built or torch.version.cuda or "not in this torch"
    lines = [("CUDA", f"{built}, {machine.driver()}, {torch.cuda.device_count()} devices")]
    for number in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(number)
        size = f"{about.total_memory / 2**30:.0f} GiB, sm_{about.major}{about.minor}"
        lines.append((f"device {number}", f"{about.name}, {size}"))
    return lines


def libraries() -> list[tuple[str, str, bool]]:
    """Each library's name, what there is of it, compiled if it must be, and whether it is there
    where it is wanted."""
    lines = [("fixed point", text := _fixed_point(), not text.startswith("none"))]
    if torch:
        lines.append(("kernels", _kernels(), cpu.ready()))
        state = cuda.current()
        wanted = environment.cuda() != "0" and (
            environment.cuda() == "1" or torch.cuda.device_count() > 0
        )
        lines.append(("CUDA kernels", _cuda_kernels(), state.path is not None or not wanted))
    return lines


def _torch() -> list[tuple[str, str]]:
    lines = [("kernels", _kernels()), ("CUDA kernels", _cuda_kernels())]
    if cpu.ready():
        lines += [("instruction set", _isa()), ("output pool", _pool())]
    lines += [("torch", f"{torch.__version__}, {torch.get_num_threads()} threads")]
    lines += _gpus()
    lines += [(f"backend {name}", why or "available") for name, why in choose.available().items()]
    return [*lines, ("backend reference", "available")]


def _fixed_point() -> str:
    try:
        module, path, reason = library.load()
    except RuntimeError as error:
        return f"none: {error}"
    return f"{_place(path)}, {reason}, {module.isa()}"


def _kernels() -> str:
    found = cpu.extension()
    return (
        f"none: {found.reason}" if found.path is None else f"{_place(found.path)}, {found.reason}"
    )


def _cuda_kernels() -> str:
    state = cuda.current()
    return (
        f"none: {state.reason}" if state.path is None else f"{_place(state.path)}, {state.reason}"
    )


def _place(path: Path) -> str:
    """Where the library lies, relative to what a user knows: the package, the cache or the home
    directory."""
    for name, root in (("the package", Path(__file__).parent), ("the cache", environment.cache())):
        if path.is_relative_to(root):
            return f"{path.relative_to(root)} in {name}"
    return path.name


def _isa() -> str:
    library = cpu.extension().library
    available = [
        name for number, name in enumerate(toolchain.X86_ISAS) if library.lrnn_isa_available(number)
    ]
    return f"{library.lrnn_isa().decode()}, of {', '.join(available)}"


def _pool() -> str:
    from . import memory

    stats = memory.stats()
    numbers = {
        "in use": stats.in_use,
        "cached": stats.cached,
        "limit": stats.limit,
        "mapped since the start": stats.mapped_total,
    }
    return ", ".join(f"{name} {value / 2**20:.0f} MiB" for name, value in numbers.items())
