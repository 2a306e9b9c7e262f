"""Compiled libraries: the installed one where it fits, else one in the cache, compiled there if it
is missing or damaged.

What is loaded is verified first: a library lies beside a stamp with the digest of the sources it
was compiled from and the digest of its own bytes, and the cache must be a folder in which nobody
else may write.
"""

from __future__ import annotations

import contextlib
import fcntl
import grp
import os
import platform
import pwd
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from . import environment, libraries, log, sources, toolchain
from .compiling import bytes_of, compile_library
from .libraries import Library


def stamp(library: Path, digest: str) -> None:
    """Writes what ``fault_of`` reads."""
    fresh = library.with_name(f"{library.name}.{os.getpid()}.hash")
    fresh.write_text(f"sources {digest}\nlibrary {bytes_of(library)}\n")
    fresh.rename(library.with_suffix(".hash"))


def fault_of(library: Path, digest: str) -> str:
    """Why a library that lies there must not be loaded: "" if it may, and "missing" if there is
    none or it is of other sources."""
    try:
        words = dict(
            line.split(" ", 1) for line in library.with_suffix(".hash").read_text().splitlines()
        )
    except FileNotFoundError:
        return "it has no stamp" if library.exists() else "missing"
    except (OSError, ValueError) as error:
        return f"its stamp is damaged ({error})"
    if words.get("sources") != digest:
        return "missing"
    try:
        return (
            ""
            if words.get("library") == bytes_of(library)
            else "its bytes are not those that were compiled"
        )
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return str(error)


class NotCompiled(RuntimeError):
    """A library would have to be compiled, and nobody asked for that."""


def find_or_build(
    installed: Path,
    name: str,
    targets: list[str],
    kind: str,
    make: Callable[[], Library],
    compile: bool = True,
) -> tuple[Path, str]:
    """A library that fits the sources at hand, and how it came to be.

    Args:
        installed: where an installed one would lie, its stamp beside it.
        name: of the file in the cache, to which digest, machine and targets are added.
        targets: what it is compiled for.
        kind: which library: see ``libraries.digest``.
        make: describes it; called only if it must be compiled.
        compile: whether that may be done now; else NotCompiled is raised.

    Raises RuntimeError where it cannot be built, or must not be loaded.
    """
    digest = libraries.digest(kind)
    fault = fault_of(installed, digest)
    if not fault:
        return installed, "built at install time"
    if fault != "missing":
        log.warning(
            f"{installed.name} is not loaded: {fault}; a library in the cache takes its place"
        )
    path = _cached(
        f"{name}-{digest}-{platform.machine()}-{'-'.join(targets)}", digest, make, compile
    )
    return (
        path,
        "compiled on first use"
        if fault == "missing"
        else f"compiled on first use, since of the installed one {fault}",
    )


def by_content(library: Library) -> Path:
    """A library that is no part of the package, from the cache, compiled there if it is missing
    or damaged."""
    words = [library.content(unit) for unit in library.units]
    digest = sources.digest([*words, *library.link], [], sources.csrc())
    return _cached(f"{library.name}-{digest}", digest, lambda: library)


def _cached(name: str, digest: str, make: Callable[[], Library], compile: bool = True) -> Path:
    """The library of that name in the cache."""
    folder = environment.cache()
    path = folder / f"{name}.so"
    if folder.exists():
        check_owner(folder)
        if not fault_of(path, digest):
            check_owner(path)
            return path
    if not compile:
        raise NotCompiled(
            f"{name} is not compiled yet: it is when it is first used, or by python -m "
            "lrnn_kernels build"
        )
    library = make()
    _create(folder)
    with _lock(folder):  # another process may have compiled the same
        fault = fault_of(path, digest)
        if fault:
            if fault != "missing":
                log.warning(f"{path.name} in the cache is damaged: {fault}; it is compiled again")
            with _scratch(path) as fresh:
                compile_library(library, fresh, folder / "objects")
                stamp(fresh, digest)
                # The stamp comes last: a library without its own is no library.
                path.with_suffix(".hash").unlink(missing_ok=True)
                fresh.rename(path)
                fresh.with_suffix(".hash").rename(path.with_suffix(".hash"))
    return path


def operators(installed: Path, torch_root: Path, compile: bool = True) -> tuple[Path, str]:
    """The library of torch operators for this processor; raises RuntimeError where there is none
    and none can be compiled, ValueError where LRNN_ISA names what cannot run."""
    isas = toolchain.isas_to_build(portable=False)
    toolchain.wanted_isa()
    return find_or_build(
        installed,
        "kernels",
        isas,
        "kernels",
        lambda: libraries.operators(isas, _compiler(), torch_root),
        compile,
    )


def fixed_point(installed: Path, abi: str) -> tuple[Path, str]:
    """The same of the fixed-point network, for a Python of this ABI."""
    isas = toolchain.isas_to_build(portable=False)
    toolchain.wanted_isa()
    return find_or_build(
        installed,
        f"fixed_point-{abi}",
        isas,
        "fixed_point",
        lambda: libraries.fixed_point(isas, _compiler()),
    )


def cuda(installed: Path, torch_root: Path, compile: bool = True) -> tuple[Path, str]:
    """The same of the CUDA operators."""
    architectures = toolchain.cuda_architectures()
    targets = [f"sm_{a}" for a in architectures]
    return find_or_build(
        installed,
        "kernels-cuda",
        targets,
        "kernels-cuda",
        lambda: libraries.cuda(nvcc(), architectures, torch_root),
        compile,
    )


def _compiler() -> toolchain.Compiler:
    compiler = toolchain.find_compiler()
    if compiler is None:
        raise RuntimeError(
            "no C++ compiler was found (set CXX, or install g++ or clang++), and no compiled "
            "kernels are installed"
        )
    return compiler


def nvcc() -> toolchain.Compiler:
    """The CUDA compiler; raises RuntimeError where there is none."""
    compiler = toolchain.find_nvcc()
    if compiler is None:
        raise RuntimeError(
            "no nvcc was found (set CUDACXX or CUDA_HOME, or install the CUDA toolkit)"
        )
    return compiler


def _create(folder: Path) -> None:
    """Makes the cache, for this user alone, or raises RuntimeError and says which variable names
    another."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise RuntimeError(
            f"the cache cannot be written ({error}); the environment variable LRNN_CACHE names "
            "another folder"
        ) from error
    check_owner(folder)


def check_owner(path: Path) -> None:
    """Raises RuntimeError if another user could have written a path, or a folder on the way to
    it."""
    # Also the folders on the way that links lead through.
    for place in dict.fromkeys(
        (path, *path.absolute().parents, path.resolve(), *path.resolve().parents)
    ):
        fault = others_may_write(place.stat(), is_parent=place not in (path, path.resolve()))
        if fault:
            hint = (
                "make it yours alone (chmod go-w), or let the environment variable LRNN_CACHE "
                "name another folder"
            )
            raise RuntimeError(f"kernels are not loaded from {path}: {place} {fault}; {hint}")


def others_may_write(about: os.stat_result, is_parent: bool = False) -> str:
    """How somebody else could have written what os.stat is about; "" if nobody could. The
    system's own users may."""
    if about.st_uid not in (0, os.geteuid()):
        return f"belongs to another user (uid {about.st_uid})"
    if is_parent and about.st_mode & stat.S_ISVTX:
        return ""  # as /tmp: entries cannot be replaced by others
    if about.st_mode & stat.S_IWOTH:
        return "may be written by everybody"
    if about.st_mode & stat.S_IWGRP and not _is_private_group(about.st_gid):
        return f"may be written by its group (gid {about.st_gid})"
    return ""


def _is_private_group(gid: int) -> bool:
    """Whether a group is root's, or the user's own, as many systems give each user one (of the
    same number and no other member)."""
    if gid == 0:
        return True
    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(gid)
    except KeyError:
        return False
    return (
        gid == user.pw_gid
        and group.gr_name == user.pw_name
        and not set(group.gr_mem) - {user.pw_name}
    )


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Holds the cache's lock. File systems without locks have none: at worst, two processes then
    compile the same."""
    with open(folder / "lock", "w") as file:
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                log.info("another process is compiling into the cache; waiting for it")
                fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            pass
        yield


@contextlib.contextmanager
def _scratch(path: Path) -> Iterator[Path]:
    """A place beside a library where it is made; nothing stays there."""
    fresh = path.with_name(f"{path.stem}.{os.getpid()}.so")
    try:
        yield fresh
    finally:
        for left in (fresh, fresh.with_suffix(".hash")):
            left.unlink(missing_ok=True)


def check_isa(library: Path, isa: str) -> None:
    """Raises RuntimeError where a library, which has chosen this instruction set, has none to
    choose."""
    if isa != "none":
        return
    wanted = toolchain.wanted_isa()
    missing = (
        f"the instruction set {wanted!r}, which the environment variable LRNN_ISA names"
        if wanted
        else "this processor"
    )
    raise RuntimeError(f"{library.name} has no kernels for {missing}")
