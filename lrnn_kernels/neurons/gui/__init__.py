"""A page for recordings: ``python -m lrnn_kernels.neurons.gui`` (pip install
"lrnn-kernels[gui]").

``controller.py`` holds all that the page can do, and imports none of the rest; ``svg.py`` and
``drawings.py`` draw; ``page.py`` puts it before a user, and ``server.py`` says who may come in.
"""
