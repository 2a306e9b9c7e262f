// What a kernel file is compiled as: one line of list.h, which the build passes as LRNN_CELL,
// LRNN_HEADER, LRNN_ENGINE and LRNN_STRUCT.
#pragma once

#define LRNN_JOIN_(a, b) a##b
#define LRNN_JOIN(a, b) LRNN_JOIN_(a, b)
#define LRNN_STRING_(x) #x
#define LRNN_STRING(x) LRNN_STRING_(x)
// clang-format off
#define LRNN_CELL_FILE LRNN_STRING(../cells/LRNN_HEADER.h)
#define LRNN_ENGINE_FILE LRNN_STRING(engines/LRNN_ENGINE.h)
#define LRNN_LAUNCH_FILE LRNN_STRING(engines/LRNN_JOIN(LRNN_ENGINE, _launch).cuh)
