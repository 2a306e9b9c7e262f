// Every cell: the operator's name, then the struct. The lists that the CPU and CUDA tables and the schemas are made from.
#pragma once

#define LRNN_AFFINE_CELLS(X)                          \
  X(linear, Linear)                                   \
  X(linear_per_channel, LinearPerChannel)             \
  X(hysteresis, Hysteresis<Alpha::kPerChannel>)       \
  X(hysteresis_per_step, Hysteresis<Alpha::kPerStep>) \
  X(cmru, Cmru<Alpha::kPerChannel>)                   \
  X(cmru_per_step, Cmru<Alpha::kPerStep>)             \
  X(fq_bmru, FqBmru)                                  \
  X(min_gru, MinGru<false>)                           \
  X(min_gru_positive, MinGru<true>)

#define LRNN_STEP_CELLS(X)                  \
  X(src, SrcFull)                           \
  X(src_detached, SrcDetached)              \
  X(src_spikes, SrcSpikes)                  \
  X(src_spikes_detached, SrcSpikesDetached) \
  X(brc, Brc)
