"""Building: content decides what is compiled, any path will do, and every environment variable
means something or is refused."""

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from lrnn_kernels.backends.build import cache, environment, libraries, sources, toolchain
from tests import ROOT
from tests.package.small_builds import answer, library, run, write

#: What a folder may be called: none of these is part of a command.
NAMES = [
    "my project",
    "$HOME",
    "a:b",
    "it's",
    'say "x"',
    "a&b;c|d",
    "(1)",
    "*?[x]",
    "#1",
    "-o",
    "\\n",
    "Ärger",
    "a\nb",
    "%41 ~",
]
LIBRARIES = ("kernels", "fixed_point", "kernels-cuda")


# --- content decides ---


@pytest.mark.parametrize(
    "date", [0, 1, 2**31, None], ids=["1970", "1970 and a second", "2038", "now"]
)
@pytest.mark.parametrize("changed", ["inner/answer.h", "one.cpp"])
def test_a_changed_source_is_compiled_whatever_its_date(tmp_path, own_cache, changed, date):
    folder = write(tmp_path / "a")
    assert answer(cache.by_content(library(folder))) == 42
    text = (folder / changed).read_text()
    (folder / changed).write_text(
        text.replace("ANSWER 42", "ANSWER 43").replace("return ANSWER", "return 43")
    )
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


@pytest.mark.parametrize(
    "what", ["flags", "a header named by a macro", "the compiler's version", "versions of others"]
)
def test_an_object_depends_on(tmp_path, what):
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
    rooms = {
        "kernels": ("args.h", "math", "cells", "cpu", "torch/cpu*", "torch/o*"),
        "fixed_point": ("isa.h", "watch.*", "fixed_point"),
        "kernels-cuda": ("args.h", "math", "cells", "cuda", "torch/cuda*", "torch/device*"),
    }[name]
    places = [place for room in rooms for place in copy.glob(room)]
    files = [
        file for place in places for file in (place.rglob("*.*") if place.is_dir() else [place])
    ]
    assert len(files) >= len(rooms)
    for file in files:
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
        done = subprocess.run(
            [*compiler.command, *unit.flags, "-MM", str(source)],
            capture_output=True,
            text=True,
            check=True,
        )
        words = re.split(r"(?<!\\)\s+", done.stdout.replace("\\\n", " ").strip())[
            1:
        ]  # a Makefile's rule
        read = {Path(word.replace("\\ ", " ").replace("$$", "$")).resolve() for word in words}
        assert read <= set(made.files(unit)), unit.label


def test_the_package_compiles_what_changed(tmp_path):
    """The user's view: a source with an old date changes the result of the next process."""
    for name in ("lrnn_kernels", "csrc"):
        shutil.copytree(
            ROOT / name,
            tmp_path / name,
            ignore=shutil.ignore_patterns("__pycache__", "*.so", "*.hash"),
        )
    here = tmp_path / "cache"
    if (environment.cache() / "objects").exists():
        shutil.copytree(environment.cache() / "objects", here / "objects")
    script = (
        "import torch, lrnn_kernels as K; x = torch.ones(1, 3, 1); print(K.linear_scan(x / "
        "2, x, backend='cpu')[0].flatten())"
    )
    assert (
        run(script, tmp_path, LRNN_CACHE=str(here)).stdout == "tensor([1.0000, 1.5000, 1.7500])\n"
    )
    header = tmp_path / "csrc" / "cells" / "linear.h"
    assert "return {x[0], x[1]};" in header.read_text()
    header.write_text(
        header.read_text().replace("return {x[0], x[1]};", "return {x[0], x[1] + x[1]};")
    )
    os.utime(header, (1e9, 1e9))
    assert (
        run(script, tmp_path, LRNN_CACHE=str(here)).stdout == "tensor([2.0000, 3.0000, 3.5000])\n"
    )


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
        *(
            ("LRNN_CUDA_ARCHITECTURES", value, toolchain.cuda_architectures)
            for value in ("sm_90", "90,", "90;100", "9", "all", "-1")
        ),
        *(
            ("LRNN_ISA", value, toolchain.wanted_isa)
            for value in ("sse9", "AVX2", " baseline", "avx2,avx512")
        ),
        *(
            ("LRNN_BUILD_ISAS", value, lambda: toolchain.isas_to_build(False))
            for value in ("sse9", "avx2,sse9", "avx2 avx512", ",", "ALL")
        ),
        *(
            ("CXX", value, toolchain.find_compiler)
            for value in ("no-such-compiler", "./g++", "/bin/no such", "g++ 'unclosed", "/")
        ),
        *(("CUDACXX", value, toolchain.find_nvcc) for value in ("no-such-compiler", "/usr")),
        ("CUDA_HOME", "/no/such/folder", toolchain.find_nvcc),
        ("LRNN_CACHE", __file__, environment.cache),
        *(("MAX_JOBS", value, environment.max_jobs) for value in ("0", "-1", "two", "1.5", "1e3")),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_by_name(monkeypatch, variable, value, ask):
    if variable in ("LRNN_ISA", "LRNN_BUILD_ISAS") and not toolchain.is_x86():
        pytest.skip("this machine's processors have one instruction set only")
    monkeypatch.delenv("CUDACXX", raising=False)
    monkeypatch.setenv(variable, value)
    with pytest.raises(
        ValueError, match=rf"^the environment variable {variable} must .*, got .*"
    ) as caught:
        ask()
    assert repr(value.strip() if variable != "LRNN_ISA" else value) in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "ask", "expected"),
    [
        ("LRNN_CUDA", " 1 ", environment.cuda, "1"),
        ("LRNN_CUDA", "", environment.cuda, "auto"),
        ("LRNN_BUILD", "", environment.build, True),
        (
            "LRNN_CUDA_ARCHITECTURES",
            "80, 90a,100-virtual",
            toolchain.cuda_architectures,
            ["80", "90a", "100-virtual"],
        ),
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
    for value, expected in (
        ("", tmp_path / ".cache"),
        ("relative", tmp_path / ".cache"),
        (str(tmp_path / "xdg"), tmp_path / "xdg"),
    ):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert environment.cache() == expected / "lrnn_kernels"
