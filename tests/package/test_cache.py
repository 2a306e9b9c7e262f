"""What is loaded: only what is whole, of these sources, and written by nobody else; and how it
comes into the cache."""

import errno
import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lrnn_kernels.backends import cpu
from lrnn_kernels.backends.build import cache, environment, libraries
from tests import ROOT
from tests.package.small_builds import answer, library, run, write


def cut(path: Path, part: float) -> None:
    with open(path, "r+b") as file:
        file.truncate(int(path.stat().st_size * part))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES = {
    "half of it": lambda path: cut(path, 0.5),
    "nothing of it": lambda path: cut(path, 0),
    "all but its end": lambda path: cut(path, 0.999),
    "a flipped bit": flip,
    "another file": lambda path: path.write_bytes(Path(sys.executable).read_bytes()),
    "no stamp": lambda path: path.with_suffix(".hash").unlink(),
    "half a stamp": lambda path: cut(path.with_suffix(".hash"), 0.5),
    "a stamp of bytes": lambda path: path.with_suffix(".hash").write_bytes(b"\xff\xfe\x00"),
    "only a stamp": lambda path: path.unlink(),
    "an empty stamp": lambda path: path.with_suffix(".hash").write_text(""),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_library_is_compiled_again(tmp_path, own_cache, caplog, damage):
    path = cache.by_content(library(write(tmp_path / "src")))
    DAMAGES[damage](path)
    assert cache.by_content(library(tmp_path / "src")) == path
    assert answer(path) == 42
    if damage not in ("only a stamp", "half a stamp", "an empty stamp"):
        assert "is damaged: " in caplog.text
    assert sorted(file.name for file in own_cache.iterdir()) == sorted(
        [path.name, path.with_suffix(".hash").name, "lock", "objects"]
    )


@pytest.mark.parametrize("part", [0, 0.5, 0.99])
def test_a_damaged_object_is_compiled_again(tmp_path, own_cache, part):
    path = cache.by_content(library(write(tmp_path / "src")))
    path.unlink()
    for file in (own_cache / "objects").glob("*.o"):
        cut(file, part)
    assert answer(cache.by_content(library(tmp_path / "src"))) == 42


def test_a_damaged_installed_library_is_not_loaded(tmp_path, own_cache, monkeypatch, caplog):
    installed = tmp_path / "_kernels.so"
    shutil.copy(cache.by_content(library(write(tmp_path / "src"))), installed)
    monkeypatch.setattr(libraries, "digest", lambda name: "0123")
    cache.stamp(installed, "0123")

    def find():
        build = lambda: library(tmp_path / "src")  # noqa: E731
        return cache.find_or_build(installed, "x", ["here"], "kernels", build)

    assert find() == (installed, "built at install time")
    cut(installed, 0.5)
    path, reason = find()
    assert path.parent == own_cache
    assert "its bytes are not those that were compiled" in reason
    assert "_kernels.so is not loaded" in caplog.text


def test_an_import_survives_a_cut_library(tmp_path):
    """It used to end by SIGBUS."""
    real = environment.cache()
    if cpu.extension().path.parent != real:  # which compiles it, if nothing has yet
        pytest.skip("the kernels under test are installed, not in the cache")
    shutil.copytree(real, tmp_path / "cache")
    for path in (tmp_path / "cache").glob("*.so"):
        cut(path, 0.5)
    script = (
        "import torch, lrnn_kernels as K; x = torch.ones(1, 2, 1); print(K.linear_scan(x, x, "
        "backend='cpu')[1].item())"
    )
    done = run(script, ROOT, LRNN_CACHE=str(tmp_path / "cache"))
    assert (done.returncode, done.stdout) == (0, "2.0\n"), done.stderr
    assert "is damaged" in done.stderr


@pytest.mark.parametrize("mode", [0o777, 0o702, 0o1777])
@pytest.mark.parametrize("place", ["cache", "library", "above"])
def test_what_others_may_write_is_not_loaded(tmp_path, own_cache, mode, place):
    path = cache.by_content(library(write(tmp_path / "src")))
    where = {"cache": own_cache, "library": path, "above": tmp_path}[place]
    where.chmod(mode)
    try:
        if place == "above" and mode == 0o1777:  # as /tmp: others cannot replace our folder there
            assert cache.by_content(library(tmp_path / "src")) == path
            return
        with pytest.raises(
            RuntimeError,
            match=r"kernels are not loaded from .* may be written by everybody; .*LRNN_CACHE",
        ):
            cache.by_content(library(tmp_path / "src"))
    finally:
        where.chmod(0o700)


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "parent", "fault"),
    [
        (0o700, 0, 12345, False, ""),
        (0o755, os.geteuid(), 12345, False, ""),
        (0o700, 54321, 12345, False, "belongs to another user (uid 54321)"),
        (0o755, 54321, 0, True, "belongs to another user (uid 54321)"),
        (0o770, os.geteuid(), 12345, False, "may be written by its group (gid 12345)"),
        (0o770, os.geteuid(), 0, False, ""),
        (0o1777, 0, 0, True, ""),
        (0o1777, 0, 0, False, "may be written by everybody"),
        (0o1777, 54321, 0, True, "belongs to another user (uid 54321)"),
    ],
)
def test_who_could_have_written(mode, uid, gid, parent, fault):
    about = os.stat_result((mode, 0, 0, 0, uid, gid, 0, 0, 0, 0))
    assert cache.others_may_write(about, is_parent=parent) == fault


def test_a_link_into_a_folder_of_others_is_not_followed(tmp_path, own_cache):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "open" / "cache").mkdir()
    own_cache.symlink_to(tmp_path / "open" / "cache")
    with pytest.raises(RuntimeError, match="open may be written by everybody"):
        cache.by_content(library(write(tmp_path / "src")))


@pytest.mark.parametrize(
    "number", [errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS, errno.EIO]
)
def test_file_systems_without_locks(tmp_path, own_cache, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert answer(cache.by_content(library(write(tmp_path / "src")))) == 42


def test_a_cache_that_cannot_be_written_says_how_to_name_another(tmp_path, monkeypatch):
    monkeypatch.setenv("LRNN_CACHE", "/proc/lrnn_kernels")
    with pytest.raises(
        RuntimeError,
        match=r"the cache cannot be written \(.*\); "
        "the environment variable LRNN_CACHE names another",
    ):
        cache.by_content(library(write(tmp_path / "src")))


def test_a_compilers_error_is_shown_and_leaves_nothing(tmp_path, own_cache):
    folder = write(tmp_path / "src", "this is no number")
    with pytest.raises(RuntimeError, match=r"(?s)compiling lrnn_kernels failed:.*one.*error"):
        cache.by_content(library(folder))
    assert not list(own_cache.glob("*.so*"))
    write(folder)
    assert answer(cache.by_content(library(folder))) == 42


def test_processes_that_compile_at_once(tmp_path, own_cache):
    folder = write(tmp_path / "src")
    script = f"""
import ctypes; from pathlib import Path
from lrnn_build import cache, libraries, toolchain
unit = libraries.Unit("here", "one.cpp", ("-fPIC",), "one")
folders = {{"here": Path({str(folder)!r})}}
library = libraries.Library("answers", toolchain.find_compiler(), (unit,), (), folders)
print(ctypes.CDLL(str(cache.by_content(library))).one())
"""
    # The package by itself, as setup.py loads it.
    (tmp_path / "lrnn_build").symlink_to(ROOT / "lrnn_kernels" / "backends" / "build")
    command = [sys.executable, "-c", script]
    several = [
        subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    assert [process.communicate(timeout=300)[0] for process in several] == ["42\n"] * 3


def test_objects_that_nobody_uses_are_forgotten(tmp_path, own_cache):
    cache.by_content(library(write(tmp_path / "src")))
    for file in (own_cache / "objects").iterdir():
        os.utime(file, (0, 0))
    cache.by_content(library(write(tmp_path / "src", "43")))
    assert len(list((own_cache / "objects").glob("*.o"))) == 2
