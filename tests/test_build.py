"""Building: content decides what is compiled, any path will do, and only what is whole and the user's own is loaded."""

import ctypes
import errno
import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lrnn_kernels.backends.build import cache, environment, libraries, sources, toolchain
from lrnn_kernels.backends.build.compiling import compile_library
from lrnn_kernels.backends.build.libraries import Library, Unit

ROOT = Path(__file__).resolve().parents[1]
#: What a folder may be called: none of these is part of a command.
NAMES = ["my project", "$HOME", "a:b", "it's", 'say "x"', "a&b;c|d", "(1)", "*?[x]", "#1", "-o", "\\n", "Ärger", "a\nb", "%41 ~"]
LIBRARIES = ("kernels", "fixed_point", "kernels-cuda")


def write(folder: Path, answer: str = "42") -> Path:
    """Sources of a library: a file, and two headers, one of which only a macro names."""
    (folder / "inner").mkdir(parents=True, exist_ok=True)
    (folder / "inner" / "answer.h").write_text(f"#define ANSWER {answer}\n")
    (folder / "one.cpp").write_text('#include "inner/answer.h"\nextern "C" int one() { return ANSWER; }\n')
    (folder / "two.cpp").write_text('#include LRNN_FILE\nextern "C" int two() { return 2; }\n')
    (folder / "macro.h").write_text("// named by a macro\n")
    return folder


def library(folder: Path, *flags: str) -> Library:
    flags = ("-fPIC", "-O1", *flags)
    units = (Unit("here", "one.cpp", flags, "one"), Unit("here", "two.cpp", (*flags, '-DLRNN_FILE="macro.h"'), "two", ("macro.h",)))
    return Library("answers", toolchain.find_compiler(), units, (), {"here": folder})


def answer(path: Path) -> int:
    return ctypes.CDLL(str(path)).one()


@pytest.fixture
def own_cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("LRNN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def run(script: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess:
    """Runs Python in cwd, whose package is the one imported."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "LRNN_ISA", "LRNN_BUILD_ISAS", "LRNN_CUDA")}
    return subprocess.run(
        [sys.executable, "-c", script], cwd=cwd, env={**kept, **variables}, capture_output=True, text=True, check=False, timeout=1200
    )


# --- content decides ---


@pytest.mark.parametrize("date", [0, 1, 2**31, None], ids=["1970", "1970 and a second", "2038", "now"])
@pytest.mark.parametrize("changed", ["inner/answer.h", "one.cpp"])
def test_a_changed_source_is_compiled_whatever_its_date(tmp_path, own_cache, changed, date):
    folder = write(tmp_path / "a")
    assert answer(cache.by_content(library(folder))) == 42
    text = (folder / changed).read_text()
    (folder / changed).write_text(text.replace("ANSWER 42", "ANSWER 43").replace("return ANSWER", "return 43"))
    if date is not None:
        os.utime(folder / changed, (date, date))
    assert answer(cache.by_content(library(folder))) == 43


def test_a_touched_source_is_not_compiled_again(tmp_path, own_cache):
    folder = write(tmp_path / "a")
    path = cache.by_content(library(folder))
    before = path.stat().st_mtime_ns
    for file in folder.rglob("*.*"):
        os.utime(file, (2**31, 2**31))
    assert cache.by_content(library(folder)) == path
    assert path.stat().st_mtime_ns == before


def test_checkouts_share_objects_and_never_rebuild_each_others(tmp_path, own_cache):
    first, second = write(tmp_path / "a"), write(tmp_path / "another place" / "b")
    path = cache.by_content(library(first))
    objects = set((own_cache / "objects").glob("*.o"))
    assert cache.by_content(library(second)) == path
    write(second, "44")
    changed = cache.by_content(library(second))
    assert (answer(path), answer(changed)) == (42, 44)
    assert answer(cache.by_content(library(first))) == 42
    added = set((own_cache / "objects").glob("*.o")) - objects
    assert len(added) == 1  # of one.cpp; two.cpp includes nothing that changed


@pytest.mark.parametrize("what", ["flags", "a header named by a macro", "the compiler's version", "versions of others"])
def test_an_object_depends_on(tmp_path, what):
    from dataclasses import replace

    folder = write(tmp_path)
    before = library(folder)
    after = library(folder, "-DX") if what == "flags" else library(folder)
    old = before.content(before.units[1])
    if what == "a header named by a macro":
        (folder / "macro.h").write_text("// another\n")
    if what == "the compiler's version":
        after = replace(after, compiler=replace(after.compiler, version="another"))
    if what == "versions of others":
        after = replace(after, others="torch 3")
    assert after.content(after.units[1]) != old


@pytest.mark.parametrize("name", LIBRARIES)
def test_digests_are_of_bytes_alone(tmp_path, monkeypatch, name):
    """Of every source that a library is compiled from, and of no date or folder."""
    copy = tmp_path / "other" / "csrc"
    shutil.copytree(sources.csrc(), copy)
    for file in copy.rglob("*.*"):
        os.utime(file, (0, 0))
    expected = libraries.digest(name)
    monkeypatch.setattr(sources, "csrc", lambda: copy)
    assert libraries.digest(name) == expected
    folder = {"kernels": "cpu", "fixed_point": "fixed_point", "kernels-cuda": "cuda"}[name]
    for file in [*(copy / folder).iterdir(), *(copy / "cells").iterdir()]:
        if name == "fixed_point" and file.parent.name == "cells":
            continue
        text = file.read_text()
        file.write_text(text + "// changed\n")
        assert libraries.digest(name) != expected, file
        file.write_text(text)
    assert libraries.digest(name) == expected


def test_every_file_that_a_kernel_includes_is_known(tmp_path):
    """What the compiler says it read of ours is what the digests are made of."""
    compiler = toolchain.find_compiler()
    made = libraries.operators(["baseline"], compiler, Path("/none"))
    for unit in made.units:
        if not unit.source.endswith("kernel.cpp"):
            continue
        source = sources.csrc() / unit.source
        done = subprocess.run([*compiler.command, *unit.flags, "-MM", str(source)], capture_output=True, text=True, check=True)
        read = {Path(word).resolve() for word in done.stdout.replace("\\\n", " ").split()[1:]}
        assert read <= set(made.files(unit)), unit.label


def test_the_package_compiles_what_changed(tmp_path):
    """The user's view: a source with an old date changes the result of the next process."""
    for name in ("lrnn_kernels", "csrc"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.so", "*.hash"))
    here = tmp_path / "cache"
    if (environment.cache() / "objects").exists():
        shutil.copytree(environment.cache() / "objects", here / "objects")
    script = "import torch, lrnn_kernels as K; x = torch.ones(1, 3, 1); print(K.linear_scan(x / 2, x, backend='cpu')[0].flatten())"
    assert run(script, tmp_path, LRNN_CACHE=str(here)).stdout == "tensor([1.0000, 1.5000, 1.7500])\n"
    header = tmp_path / "csrc" / "cells" / "linear.h"
    assert "return {x[0], x[1]};" in header.read_text()
    header.write_text(header.read_text().replace("return {x[0], x[1]};", "return {x[0], x[1] + x[1]};"))
    os.utime(header, (1e9, 1e9))
    assert run(script, tmp_path, LRNN_CACHE=str(here)).stdout == "tensor([2.0000, 3.0000, 3.5000])\n"


# --- paths ---


@pytest.mark.parametrize("name", NAMES)
def test_any_path_will_do(tmp_path, monkeypatch, name):
    """Of the sources, the cache, the temporary folder and the compiler."""
    folder = tmp_path / name
    folder.mkdir()
    compiler = folder / "c++"
    compiler.symlink_to(toolchain.find_compiler().command[0])
    (folder / "tmp").mkdir()
    for variable, value in {"LRNN_CACHE": folder / "cache", "TMPDIR": folder / "tmp"}.items():
        monkeypatch.setenv(variable, str(value))
    import shlex
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("CXX", shlex.quote(str(compiler)))
    if "\n" in name:  # the one thing that a ninja file cannot hold
        with pytest.raises(RuntimeError, match="cannot hold a new line"):
            cache.by_content(library(write(folder / "src")))
        monkeypatch.delenv("CXX")
    assert answer(cache.by_content(library(write(folder / "src")))) == 42
    assert not list((folder / "tmp").glob("lrnn-build-*"))


@pytest.mark.parametrize("value", ["cache", "./cache/", "../x/cache", "~/cache"])
def test_a_cache_may_be_relative(tmp_path, monkeypatch, value):
    (tmp_path / "x").mkdir()
    monkeypatch.chdir(tmp_path / "x")
    monkeypatch.setenv("HOME", str(tmp_path / "x"))
    monkeypatch.setenv("LRNN_CACHE", value)
    assert environment.cache() == tmp_path / "x" / "cache"
    assert answer(cache.by_content(library(write(tmp_path / "src")))) == 42
    assert (tmp_path / "x" / "cache" / "lock").exists()


def test_compilers_search_paths_may_be_relative(tmp_path, monkeypatch, own_cache):
    folder = write(tmp_path / "src")
    (tmp_path / "headers").mkdir()
    (tmp_path / "headers" / "given.h").write_text("#define GIVEN 7\n")
    (folder / "one.cpp").write_text('#include <given.h>\nextern "C" int one() { return GIVEN; }\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CPATH", "nowhere:headers")
    assert answer(cache.by_content(library(folder))) == 7


# --- environment variables ---


@pytest.mark.parametrize(
    ("variable", "value", "ask"),
    [
        *(("LRNN_CUDA", value, environment.cuda) for value in ("yes", "2", "-1")),
        *(("LRNN_BUILD", value, environment.build) for value in ("no", "2", "auto")),
        *(("LRNN_CUDA_ARCHITECTURES", value, toolchain.cuda_architectures) for value in ("sm_90", "90,", "90;100", "9", "all", "-1")),
        *(("LRNN_ISA", value, toolchain.wanted_isa) for value in ("sse9", "AVX2", " baseline", "avx2,avx512")),
        *(("LRNN_BUILD_ISAS", value, lambda: toolchain.isas_to_build(False)) for value in ("sse9", "avx2,sse9", "avx2 avx512", ",", "ALL")),
        *(("CXX", value, toolchain.find_compiler) for value in ("no-such-compiler", "./g++", "/bin/no such", "g++ 'unclosed", "/")),
        *(("CUDACXX", value, toolchain.find_nvcc) for value in ("no-such-compiler", "/usr")),
        ("CUDA_HOME", "/no/such/folder", toolchain.find_nvcc),
        ("LRNN_CACHE", __file__, environment.cache),
        *(("MAX_JOBS", value, environment.max_jobs) for value in ("0", "-1", "two", "1.5", "1e3")),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_by_name(monkeypatch, variable, value, ask):
    if variable in ("LRNN_ISA", "LRNN_BUILD_ISAS") and not toolchain.is_x86():
        pytest.skip("there is one instruction set only, with or without a GPU")
    monkeypatch.delenv("CUDACXX", raising=False)
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=rf"^the environment variable {variable} must .*, got .*") as caught:
        ask()
    assert repr(value.strip() if variable != "LRNN_ISA" else value) in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "ask", "expected"),
    [
        ("LRNN_CUDA", " 1 ", environment.cuda, "1"),
        ("LRNN_CUDA", "", environment.cuda, "auto"),
        ("LRNN_BUILD", "", environment.build, True),
        ("LRNN_CUDA_ARCHITECTURES", "80, 90a,100-virtual", toolchain.cuda_architectures, ["80", "90a", "100-virtual"]),
        ("LRNN_CUDA_ARCHITECTURES", "", toolchain.cuda_architectures, toolchain.CUDA_ARCHITECTURES),
        ("MAX_JOBS", "3", environment.max_jobs, 3),
        ("MAX_JOBS", "", environment.max_jobs, None),
    ],
)
def test_what_makes_sense_is_taken(monkeypatch, variable, value, ask, expected):
    monkeypatch.setenv(variable, value)
    assert ask() == expected


def test_a_compiler_may_have_arguments_and_a_relative_place(tmp_path, monkeypatch, own_cache):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "mine").symlink_to(toolchain.find_compiler().command[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CXX", "bin/mine '-DANSWER_IS=one two'")
    compiler = toolchain.find_compiler()
    assert compiler.command == (str(tmp_path / "bin" / "mine"), "-DANSWER_IS=one two")
    assert answer(cache.by_content(library(write(tmp_path / "src")))) == 42


def test_homes_of_the_cache(monkeypatch, tmp_path):
    monkeypatch.delenv("LRNN_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    for value, expected in (("", tmp_path / ".cache"), ("relative", tmp_path / ".cache"), (str(tmp_path / "xdg"), tmp_path / "xdg")):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert environment.cache() == expected / "lrnn_kernels"


# --- what is loaded ---


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
def test_a_damaged_library_is_compiled_again(tmp_path, own_cache, capfd, damage):
    path = cache.by_content(library(write(tmp_path / "src")))
    DAMAGES[damage](path)
    assert cache.by_content(library(tmp_path / "src")) == path
    assert answer(path) == 42
    if damage not in ("only a stamp", "half a stamp", "an empty stamp"):
        assert "is damaged: " in capfd.readouterr().err
    assert sorted(file.name for file in own_cache.iterdir()) == sorted([path.name, path.with_suffix(".hash").name, "lock", "objects"])


@pytest.mark.parametrize("part", [0, 0.5, 0.99])
def test_a_damaged_object_is_compiled_again(tmp_path, own_cache, part):
    path = cache.by_content(library(write(tmp_path / "src")))
    path.unlink()
    for file in (own_cache / "objects").glob("*.o"):
        cut(file, part)
    assert answer(cache.by_content(library(tmp_path / "src"))) == 42


def test_a_damaged_installed_library_is_not_loaded(tmp_path, own_cache, monkeypatch, capfd):
    installed = tmp_path / "_kernels.so"
    shutil.copy(cache.by_content(library(write(tmp_path / "src"))), installed)
    monkeypatch.setattr(libraries, "digest", lambda name: "0123")
    cache.stamp(installed, "0123")
    find = lambda: cache.find_or_build(installed, "x", ["here"], "kernels", lambda: library(tmp_path / "src"))  # noqa: E731
    assert find() == (installed, "built at install time")
    cut(installed, 0.5)
    path, reason = find()
    assert path.parent == own_cache
    assert "its bytes are not those that were compiled" in reason
    assert "_kernels.so is not loaded" in capfd.readouterr().err


def test_an_import_survives_a_cut_library(tmp_path):
    """It used to end by SIGBUS."""
    real = environment.cache()
    if not list(real.glob("kernels-*.so")):
        pytest.skip("the kernels under test are installed, not in the cache; needs no GPU but a checkout")
    shutil.copytree(real, tmp_path / "cache")
    for path in (tmp_path / "cache").glob("*.so"):
        cut(path, 0.5)
    done = run("import lrnn_kernels; print(lrnn_kernels.explain.__name__)", ROOT, LRNN_CACHE=str(tmp_path / "cache"))
    assert (done.returncode, done.stdout) == (0, "explain\n"), done.stderr
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
        with pytest.raises(RuntimeError, match=r"kernels are not loaded from .* may be written by everybody; .*LRNN_CACHE"):
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


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS, errno.EIO])
def test_file_systems_without_locks(tmp_path, own_cache, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert answer(cache.by_content(library(write(tmp_path / "src")))) == 42


def test_a_cache_that_cannot_be_written_says_how_to_name_another(tmp_path, monkeypatch):
    monkeypatch.setenv("LRNN_CACHE", "/proc/lrnn_kernels")
    with pytest.raises(RuntimeError, match=r"the cache cannot be written \(.*\); the environment variable LRNN_CACHE names another"):
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
library = libraries.Library("answers", toolchain.find_compiler(), (unit,), (), {{"here": Path({str(folder)!r})}})
print(ctypes.CDLL(str(cache.by_content(library))).one())
"""
    # The package by itself, as setup.py loads it.
    (tmp_path / "lrnn_build").symlink_to(ROOT / "lrnn_kernels" / "backends" / "build")
    command = [sys.executable, "-c", script]
    several = [subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate(timeout=300)[0] for process in several] == ["42\n"] * 3


def test_objects_that_nobody_uses_are_forgotten(tmp_path, own_cache):
    cache.by_content(library(write(tmp_path / "src")))
    for file in (own_cache / "objects").iterdir():
        os.utime(file, (0, 0))
    cache.by_content(library(write(tmp_path / "src", "43")))
    assert len(list((own_cache / "objects").glob("*.o"))) == 2


def test_progress_says_what_is_done_and_left(tmp_path, own_cache, monkeypatch):
    monkeypatch.setattr("lrnn_kernels.backends.build.compiling.QUIET", 0.0)
    said = []
    compile_library(library(write(tmp_path / "src")), tmp_path / "x.so", tmp_path / "objects", said.append)
    assert said[0] == "lrnn_kernels: compiling answers: 2 files"
    assert "1 of 2 files" in said[1]
    assert "1 files left" in said[1]
    assert said[-1].startswith("lrnn_kernels: compiled answers in ")
