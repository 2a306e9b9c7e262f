"""python -m lrnn_kernels.neurons.gui: a page that makes twins of recorded neurons, in a browser on
this computer. Ctrl-C ends it."""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec

from .server import HOST, PORT, listen, serve


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m lrnn_kernels.neurons.gui", description=__doc__)
    add_options(parser)
    return run(**vars(parser.parse_args(arguments)))


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the page takes, under this name and as a command of ``lrnn_kernels.neurons``."""
    parser.add_argument(
        "--port", type=_port, help=f"(default: {PORT}, or a free one where that is taken)"
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser")


def run(port: int | None, no_browser: bool) -> int:
    """Serves the page until Ctrl-C; returns the exit code."""
    if find_spec("nicegui") is None:
        print("error: the page needs NiceGUI: pip install 'lrnn-kernels[gui]'", file=sys.stderr)
        return 2
    try:
        listener = listen(port)
    except OSError as error:
        print(f"error: --port {port} of {HOST}: {error.strerror}", file=sys.stderr)
        return 2
    try:
        serve(listener, not no_browser)
    except KeyboardInterrupt:
        print()
    return 0


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) < 65536:
        raise argparse.ArgumentTypeError(f"must be from 1 to 65535, got {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
