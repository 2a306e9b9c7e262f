// Every recurrence that is compiled: the operator's name, the header in cells/ that holds its
// struct, the engine that runs it, the struct. A line is all that C++ needs to be told of a new
// one: the build compiles cpu/kernel.cpp (once per instruction set) and cuda/kernel.cu for every
// line, and the tables, the operators and their schemas are made from this list.
#pragma once

#define LRNN_CELLS(X)                                                     \
  X(linear, linear, affine, Linear)                                       \
  X(linear_per_channel, linear, affine, LinearPerChannel)                 \
  X(hysteresis, hysteresis, affine, Hysteresis<Alpha::kPerChannel>)       \
  X(hysteresis_per_step, hysteresis, affine, Hysteresis<Alpha::kPerStep>) \
  X(cmru, hysteresis, affine, Cmru<Alpha::kPerChannel>)                   \
  X(cmru_per_step, hysteresis, affine, Cmru<Alpha::kPerStep>)             \
  X(fq_bmru, fq_bmru, affine, FqBmru)                                     \
  X(min_gru, min_gru, affine, MinGru<false>)                              \
  X(min_gru_positive, min_gru, affine, MinGru<true>)                      \
  X(bmru, hysteresis, latch, Bmru)                                        \
  X(src, src, step, SrcFull)                                              \
  X(src_detached, src, step, SrcDetached)                                 \
  X(src_spikes, src, step, SrcSpikes)                                     \
  X(src_spikes_detached, src, step, SrcSpikesDetached)                    \
  X(brc, brc, step, Brc)                                                  \
  X(nbrc, nbrc, matrix, Nbrc)                                             \
  X(gru, gru, matrix, Gru)                                                \
  X(gru_reset_before, gru, matrix, GruResetBefore)                        \
  X(lstm, lstm, matrix, Lstm)                                             \
  X(mgu, mgu, matrix, Mgu)                                                \
  X(mgu_reset_after, mgu, matrix, MguResetAfter)
