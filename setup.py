"""Installs the package; with torch at hand also compiles the kernels, which are otherwise compiled on first import.

Under pip's build isolation torch is absent (naming it as a build requirement would fetch gigabytes only to build against another
torch than the user's), so the sources are installed as package data. ``--no-build-isolation`` compiles at install.
"""

import importlib.util
import os
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent


def load_build_module():
    """lrnn_kernels/build.py, without importing the package (which needs torch)."""
    spec = importlib.util.spec_from_file_location("build", ROOT / "lrnn_kernels" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def torch_root():
    """Where torch is installed, or None."""
    try:
        spec = importlib.util.find_spec("torch")
    except (ImportError, ValueError):
        return None
    return Path(spec.origin).parent if spec and spec.origin else None


build = load_build_module()
COMPILES = torch_root() is not None and build.find_compiler() is not None and os.environ.get("LRNN_BUILD", "1") != "0"


class BuildKernels(build_ext):
    def get_ext_filename(self, fullname):
        return os.path.join(*fullname.split(".")) + ".so"  # no Python ABI: the library is loaded by torch, not imported

    def build_extension(self, ext):
        output = Path(self.get_ext_fullpath(ext.name)).resolve()
        output.parent.mkdir(parents=True, exist_ok=True)
        isas = build.isas_to_build(portable=True)
        print(f"compiling the kernels for {', '.join(isas)}", file=sys.stderr)
        workdir = Path(self.build_temp).resolve() / "kernels"
        build.build(output, workdir, isas=isas, compiler=build.find_compiler(), torch_root=torch_root())
        output.with_suffix(".hash").write_text(build.source_hash())


class AnyPythonWheel(bdist_wheel):
    """A wheel with kernels fits this platform, but any Python: the library uses torch's stable ABI only."""

    def get_tag(self):
        _, _, platform = super().get_tag()
        return "py3", "none", platform if COMPILES else "any"


setup(
    packages=["lrnn_kernels", "lrnn_kernels.nn", "lrnn_kernels.csrc", "lrnn_kernels.triton_kernels"],
    # The top-level name triton_kernels belongs to another project.
    package_dir={"lrnn_kernels.csrc": "csrc", "lrnn_kernels.triton_kernels": "triton_kernels"},
    package_data={"lrnn_kernels.csrc": ["**/*.h", "**/*.cpp", "*.md"], "lrnn_kernels": ["*.hash"]},
    ext_modules=[Extension("lrnn_kernels._kernels", sources=[])] if COMPILES else [],
    cmdclass={"build_ext": BuildKernels, "bdist_wheel": AnyPythonWheel},
)
