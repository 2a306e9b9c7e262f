"""python -m lrnn_kernels.neurons gui: as python -m lrnn_kernels.neurons.gui"""

from __future__ import annotations

import argparse

from ..gui import __main__ as page


def add(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "gui",
        help="a page in the browser that makes twins of a recording",
        description=page.__doc__,
    )
    page.add_options(command)
    command.set_defaults(run=page.run)
