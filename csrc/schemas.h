// The schema of every operator. All cells share one signature, so a new cell needs no line here.
//
//   NAME(inputs, params, options, h0, reset, h_reset, reverse, save) -> (y, h_last, saved)
//     inputs   the cell's streams, each (B,T,C) with unit channel stride; or one tensor (B,T,nC) that holds all of them side by side,
//              as one GEMM wrote them. A complex cell also takes real tensors of split storage: (B,T,2C), real parts first.
//     params   one (C,) or (B,C) tensor of the carry type each (float32 for 16- and 32-bit inputs); nbrc: (C,C)
//     options  plain numbers; first, for cells that save their states, K: the states before every K-th step are saved; 0: of every step
//     h0       (B,C), the carry type; h_reset (C,) or (B,C); reset (B,T) bool. Split storage, and cells of n states, side by side:
//              (B,nC), (nC,).
//     save     whether a backward pass will follow; saved is what it needs beyond y (empty for most cells)
//   NAME_backward(..., states, dy, dh_last) -> [inputs' gradients..., params' gradients..., dh0, dh_reset]
//     states   y or saved; packed inputs get one packed gradient; dh_reset is empty unless h_reset and reset are given
//   plan(cell, inputs, params, backward, options) -> CPU: [threads, channel block, steps per chunk, non-temporal stores]
//                                                    CUDA: [lanes of a block, groups of a block, steps per chunk, blocks]; of the nBRC
//                                                    [blocks of a group, groups, batch elements of a group at a time]
#pragma once

#include <torch/csrc/stable/library.h>

#include <string>

#include "cells/info.h"

namespace lrnn {

inline void define_operators(torch::stable::detail::StableLibrary& m) {
  const std::string common =
      "(Tensor[] inputs, Tensor[] params, float[] options, Tensor? h0, Tensor? reset, Tensor? h_reset, bool reverse, ";
  const auto define = [&](const std::string& name) {
    m.def((name + common + "bool save) -> (Tensor y, Tensor h_last, Tensor saved)").c_str());
    m.def((name + "_backward" + common + "Tensor? states, Tensor? dy, Tensor? dh_last) -> Tensor[]").c_str());
  };
#define LRNN_DEFINE(name, header, engine, Cell) define(#name);
  LRNN_CELLS(LRNN_DEFINE)
#undef LRNN_DEFINE
  m.def("plan(str cell, Tensor[] inputs, Tensor[] params, bool backward, float[] options=[]) -> int[]");
}

}  // namespace lrnn
