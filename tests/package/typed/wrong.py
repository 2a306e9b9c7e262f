"""What a checker must refuse, each line for the reason that stands after it."""

import torch

import lrnn_kernels
from lrnn_kernels import models, nn, tasks

x = torch.zeros(2, 3, 4)

lrnn_kernels.min_gru(x, "v")  # error: arg-type
lrnn_kernels.min_gru(x)  # error: call-arg
lrnn_kernels.min_gru_step(x, x, reset=True)  # error: arg-type
lrnn_kernels.bmru(x, x, x, backend=None)  # error: arg-type
lrnn_kernels.lstm(x, x, x, x, x, h0=(x, x))  # error: arg-type
lrnn_kernels.maxi_gru(x, x)  # error: attr-defined
nn.BMRU("28", 256)  # error: arg-type
nn.Recurrent(4, 8, device=3.5)  # error: arg-type
models.Backbone({"width": 64})  # error: arg-type
tasks.copy_first_symbol.draw(batch_size=64, steps=200)  # error: call-arg
