"""Installs the package, and compiles what can be compiled here; the rest is compiled on first use.

Under pip's build isolation torch is absent (naming it as a build requirement would fetch gigabytes
only to build against another torch than the user's), so the sources are installed as package data.
``--no-build-isolation`` compiles the torch operators at install. The fixed-point network needs no
torch: any compiler does.
"""

import importlib.util
import os
import re
import shutil
import sys
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

ROOT = Path(__file__).parent

# setuptools expands what looks like a variable in the paths of this Python: one in a folder whose
# name has a $ must stay as it is.
for name in re.findall(r"\$([A-Za-z_]\w*)", f"{sys.prefix} {sys.base_prefix}"):
    os.environ[name] = f"${name}"


def load_build_package():
    """lrnn_kernels.backends.build, without importing the package around it (which needs what may
    not be there yet)."""
    folder = ROOT / "lrnn_kernels" / "backends" / "build"
    spec = importlib.util.spec_from_file_location(
        "lrnn_build", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    sys.modules["lrnn_build"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["lrnn_build"])


def torch_root():
    """Where torch is installed, or None."""
    try:
        spec = importlib.util.find_spec("torch")
    except (ImportError, ValueError):
        return None
    return Path(spec.origin).parent if spec and spec.origin else None


load_build_package()
from lrnn_build import cache, environment, libraries, toolchain  # noqa: E402
from lrnn_build.compiling import compile_library  # noqa: E402


def wants_cuda():
    """Whether to compile the CUDA operators: where asked for, or where there is a compiler for a
    torch that has CUDA."""
    mode = environment.cuda()
    if mode == "1" and not torch_root():
        raise RuntimeError(
            "LRNN_CUDA=1 needs torch at install time: pip install torch, then pip install "
            "--no-build-isolation"
        )
    if mode != "auto":
        return mode == "1"
    if not torch_root() or not toolchain.find_nvcc():
        return False
    return re.search(r"^cuda[^=]*= *'", (torch_root() / "version.py").read_text(), re.M) is not None


COMPILER = toolchain.find_compiler() if environment.build() else None
EXTENSIONS = [Extension("lrnn_kernels._kernels", sources=[])] if COMPILER and torch_root() else []
EXTENSIONS += (
    [Extension("lrnn_kernels._kernels_cuda", sources=[])] if COMPILER and wants_cuda() else []
)
# Optional: an installation without torch asked for no compiler before, and must not fail for one
# that is too old.
if COMPILER and not libraries.fixed_point_needs():
    EXTENSIONS.append(Extension("lrnn_kernels._fixed_point", sources=[], optional=True))


def library_of(ext):
    """What is compiled for an extension, and which library it is."""
    isas = toolchain.isas_to_build(portable=True)
    if ext.name == "lrnn_kernels._kernels_cuda":
        return libraries.cuda(
            cache.nvcc(), toolchain.cuda_architectures(), torch_root()
        ), "kernels-cuda"
    if ext.name == "lrnn_kernels._fixed_point":
        return libraries.fixed_point(isas, COMPILER), "fixed_point"
    return libraries.operators(isas, COMPILER, torch_root()), "kernels"


class BuildKernels(build_ext):
    def get_ext_filename(self, fullname):
        *folders, name = fullname.split(".")
        # No Python's ABI: the operators are loaded by torch, not imported.
        return os.path.join(
            *folders, libraries.FIXED_POINT_FILE if name == "_fixed_point" else name + ".so"
        )

    def build_extension(self, ext):
        output = Path(self.get_ext_fullpath(ext.name)).resolve()
        try:
            library, kind = library_of(ext)
            compile_library(library, output, Path(self.build_temp).resolve() / "objects")
        except RuntimeError as error:
            raise CompileError(str(error)) from error
        cache.stamp(output, libraries.digest(kind))

    def copy_extensions_to_source(self):
        """As an editable installation does: without its stamp a library would not be loaded."""
        super().copy_extensions_to_source()
        for stamp in (Path(self.build_lib) / "lrnn_kernels").glob("*.hash"):
            shutil.copy(stamp, ROOT / "lrnn_kernels")


class AnyPythonWheel(bdist_wheel):
    """A wheel with kernels fits this platform, but any Python: the torch operators use torch's
    stable ABI only, and the fixed-point network is compiled on first use where the one that is
    shipped is for another Python."""

    def get_tag(self):
        _, _, platform = super().get_tag()
        return "py3", "none", platform if EXTENSIONS else "any"


setup(
    packages=[
        *find_packages(str(ROOT), include=["lrnn_kernels", "lrnn_kernels.*"]),
        *("lrnn_kernels.csrc", "lrnn_kernels.triton_kernels"),
        *(f"lrnn_kernels.triton_kernels.{room}" for room in find_packages(ROOT / "triton_kernels")),
    ],
    # The top-level name triton_kernels belongs to another project.
    package_dir={"lrnn_kernels.csrc": "csrc", "lrnn_kernels.triton_kernels": "triton_kernels"},
    package_data={
        "lrnn_kernels.csrc": ["**/*.h", "**/*.cpp", "**/*.cu", "**/*.cuh", "*.md"],
        "lrnn_kernels": ["*.hash", "py.typed"],
        "lrnn_kernels.neurons.network": ["weights/*.safetensors"],
        "lrnn_kernels.fixed_point.vhdl": ["sources/*/*.vhd"],
    },
    ext_modules=EXTENSIONS,
    cmdclass={"build_ext": BuildKernels, "bdist_wheel": AnyPythonWheel},
)
