"""What is measured on: the GPU, its driver, versions, which backends run and why others do not; and
the copy that all speeds stand beside."""

from __future__ import annotations

import functools
import shutil
import subprocess
from importlib import metadata
from statistics import median

import torch

from ...measure import machine
from .. import timing
from ..device import H100, Device
from ..place import Limit, Place

#: Bytes of the large copy, read plus written; and of one that stays in L2.
COPIES = {"large": 8 << 30, "in L2": 24 << 20}
SMALL_COPIES = {"large": 1 << 16, "in L2": 1 << 12}
ROUNDS = 5
#: Packages that kernels or peers depend on.
PACKAGES = ("triton", "accelerated-scan", "ninja", "nvidia-cudnn-cu13", "nvidia-cudnn-cu12")


def units(place: Place) -> list[tuple] | str:
    if not place.stands_in and not torch.cuda.is_available():
        return "no GPU is here, or torch has no CUDA"
    if not place.backends:
        return "; ".join(f"backend {name}: {why}" for name, why in place.missing.items())
    return [("machine",)]


def run(place: Place, unit: tuple, emit, limit: Limit) -> None:
    about = machine.describe() | describe(place)
    emit(machine=about, text=_in_words(about))
    for backend, why in place.missing.items():
        emit(
            backend=backend,
            missing=why,
            text=f"backend {backend}: {why or 'available'}",
            **({"failed": why} if why and backend in _expected(place) else {}),
        )
    place.warm_up()
    for name, total in place.pick(COPIES, SMALL_COPIES).items():
        rate = copy_rate(place, total)
        emit(
            copy=name, bytes=total, gbytes_s=rate / 1e9, text=f"{name} copy: {rate / 1e9:.0f} GB/s"
        )


def describe(place: Place) -> dict:
    """The GPU, for the JSON."""
    packages = {name: version for name in PACKAGES if (version := _version(name))}
    if place.stands_in:
        return {"gpu": "none: the executor stands in", "cuda": None, "gpu_packages": packages}
    properties = torch.cuda.get_device_properties(0)
    return {
        "gpu": properties.name,
        "capability": f"{properties.major}.{properties.minor}",
        "multiprocessors": properties.multi_processor_count,
        "gpu_memory_gb": round(properties.total_memory / 1e9, 1),
        "l2_mib": properties.L2_cache_size >> 20,
        "cuda": torch.version.cuda or f"HIP {torch.version.hip}",
        "cudnn": torch.backends.cudnn.version(),
        **driver(),
        "gpu_packages": packages,
    }


def driver() -> dict:
    """What nvidia-smi says: driver, highest clocks in MHz, power limit in W."""
    names = {
        "driver_version": "driver",
        "clocks.max.sm": "max_sm_mhz",
        "clocks.max.mem": "max_memory_mhz",
        "power.limit": "power_w",
    }
    if shutil.which("nvidia-smi") is None:
        return {}
    query = ["nvidia-smi", f"--query-gpu={','.join(names)}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, check=False, timeout=20)
    except subprocess.TimeoutExpired:
        return {}
    values = (
        [value.strip() for value in done.stdout.splitlines()[0].split(",")] if done.stdout else []
    )
    return dict(zip(names.values(), values, strict=False))


def copy_rate(place: Place, total: int) -> float:
    """Bytes a second, read plus written, of a copy."""
    clock = place.clock.prepare(timing.copy_of(total, place.device))
    times = timing.interleave({"copy": clock}, ROUNDS)["copy"]
    return total / median(times)


@functools.cache
def device(place: Place) -> Device:
    """This GPU, as predictions take it; the H100 where there is none."""
    if place.stands_in:
        return H100
    properties = torch.cuda.get_device_properties(0)
    mhz = float(driver().get("max_memory_mhz") or 0)
    width = getattr(properties, "memory_bus_width", 0)
    return Device(
        copy=copy_rate(place, COPIES["large"]),
        multiprocessors=properties.multi_processor_count,
        l2=properties.L2_cache_size,
        peak=2e6 * mhz * width / 8 or None,
    )


def hertz(place: Place) -> float:
    """The highest clock of a multiprocessor; where nobody says it, an H100's."""
    mhz = {} if place.stands_in else driver()
    try:
        return float(mhz.get("max_sm_mhz", 1755)) * 1e6
    except ValueError:
        return 1.755e9


def _expected(place: Place) -> list[str]:
    """Backends that must run here: both on NVIDIA's GPUs, Triton on others'."""
    if place.stands_in:
        return ["cuda"]
    return ["cuda", "triton"] if torch.version.cuda else ["triton"]


def _in_words(about: dict) -> str:
    names = ("gpu", "multiprocessors", "l2_mib", "gpu_memory_gb", "driver", "max_sm_mhz", "cuda")
    words = [f"{name} {about[name]}" for name in names if about.get(name)]
    return ", ".join([*words, f"torch {about['torch']}", f"{about['cores']} cores", about["cpu"]])


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
