// What a kernel file is compiled as: one line of list.h, which the build passes as LRNN_NEURON and
// LRNN_STRUCT.
#pragma once

#define LRNN_JOIN_(a, b) a##b
#define LRNN_JOIN(a, b) LRNN_JOIN_(a, b)
#define LRNN_STRING_(x) #x
#define LRNN_STRING(x) LRNN_STRING_(x)
// clang-format off
#define LRNN_NEURON_FILE LRNN_STRING(../neurons/LRNN_NEURON.h)
