"""Compiles a library: objects by their content, so that what was compiled once, by whatever
checkout, is not compiled again."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from . import environment, log
from .libraries import Library, Unit

#: Objects that nobody has used for so long are deleted when something is compiled.
KEEP_DAYS = 30

_PROGRESS = re.compile(r"^\[(\d+)/(\d+)\] (.*)$")


def compile_library(library: Library, output: Path, objects: Path) -> None:
    """Compiles what ``objects`` lacks of a library and links it into output.

    Commands run in a folder of their own, where the folders they read and write are links: no path
    is ever part of a command, so it may contain any character. Objects are named by a digest of all
    they depend on, appear whole or not at all, and are verified by a digest of their own; nothing
    goes by dates.

    Raises RuntimeError with the compiler's words.
    """
    objects.mkdir(parents=True, exist_ok=True)
    names = {unit: f"{library.content(unit)}.o" for unit in library.units}
    with tempfile.TemporaryDirectory(prefix="lrnn-build-") as folder:
        workdir = Path(folder)
        for name, path in {**library.folders, "objects": objects}.items():
            (workdir / name).symlink_to(path.resolve(), target_is_directory=True)
        missing = {unit: name for unit, name in names.items() if not _is_whole(objects / name)}
        for name in missing.values():
            (objects / name).unlink(missing_ok=True)
        _run(library, workdir, missing)
        fresh = workdir / "library.so"
        command = [
            *library.compiler.command,
            "-shared",
            *(f"objects/{name}" for name in names.values()),
            "-o",
            fresh.name,
            *library.link,
        ]
        done = subprocess.run(
            command,
            cwd=workdir,
            env=environment.of_compilers(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(
                f"linking lrnn_kernels failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
            )
        output.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(fresh, output)
    _forget_old(objects, set(names.values()))


def bytes_of(path: Path) -> str:
    """A digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _is_whole(compiled: Path) -> bool:
    """Whether an object is there and has the bytes that the compiler wrote: linkers take an
    empty one without a word."""
    try:
        return compiled.with_suffix(".sum").read_text() == bytes_of(compiled)
    except (OSError, ValueError):
        return False


def _finish(compiled: Path) -> None:
    if not compiled.exists():
        return  # it failed
    fresh = compiled.with_suffix(f".sum.{os.getpid()}")
    fresh.write_text(bytes_of(compiled))
    fresh.rename(compiled.with_suffix(".sum"))


def _forget_old(objects: Path, used: set[str]) -> None:
    now = time.time()
    for path in objects.iterdir():
        try:
            if f"{path.stem}.o" in used:
                os.utime(path)
            elif now - path.stat().st_mtime > KEEP_DAYS * 86400:
                path.unlink()
        except OSError:
            continue  # another process deleted it


def _run(library: Library, workdir: Path, missing: dict[Unit, str]) -> None:
    """Compiles units into objects, the slowest first."""
    if not missing:
        return
    lines = [
        "rule cc",
        "  command = $words -c $source -o $out.$part && mv -f $out.$part $out",
        "  description = $label",
        f"part = {os.getpid()}",
    ]
    for unit, name in sorted(missing.items(), key=lambda item: -item[0].cost):
        command = [*library.compiler.command, *unit.flags]
        lines += [f"build objects/{name}: cc", f"  words = {_ninja(shlex.join(command))}"]
        lines += [
            f"  source = {_ninja(shlex.quote(f'{unit.folder}/{unit.source}'))}",
            f"  label = {_ninja(unit.label)}",
        ]
    (workdir / "build.ninja").write_text("\n".join(lines) + "\n")
    jobs = environment.max_jobs()
    labels = {unit.label: workdir / "objects" / name for unit, name in missing.items()}
    command = [*find_ninja(), *([f"-j{jobs}"] if jobs else [])]
    settings = {**environment.of_compilers(), "NINJA_STATUS": "[%f/%t] "}
    progress, words = log.Progress(library.name, len(missing)), []
    with subprocess.Popen(
        command,
        cwd=workdir,
        env=settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        try:
            for line in process.stdout:
                if match := _PROGRESS.match(line):
                    _finish(labels[match[3].strip()])
                    progress.step(int(match[1]), match[3].strip())
                else:
                    words.append(line)
        except BaseException:  # Ctrl-C: what is compiled stays
            process.terminate()
            raise
    if process.returncode != 0:
        raise RuntimeError(f"compiling lrnn_kernels failed:\n{''.join(words)[-6000:]}")
    progress.end()


def _ninja(text: str) -> str:
    """Text as a value in a ninja file."""
    if "\n" in text:
        raise RuntimeError(f"a compiler's command cannot hold a new line: {text!r}")
    return text.replace("$", "$$")


def find_ninja() -> list[str]:
    """ninja's command: the Python package's program, else the one on PATH."""
    try:
        import ninja

        program = Path(ninja.BIN_DIR) / "ninja"
        if program.exists():
            return [str(program)]
    except ImportError:
        pass
    if found := shutil.which("ninja"):
        return [os.path.abspath(found)]
    raise RuntimeError("compiling lrnn_kernels needs ninja: pip install ninja")
