// Networks, and images shared out to threads. No Python here: usable from any C++ program.
#pragma once

#include <optional>
#include <vector>

#include "args.h"

namespace lrnn::fixed_point {

// Memory of whole cache lines, aligned to them.
struct alignas(64) Line {
  int16_t values[kPad];
};

// The weights of a network, as the kernels want them.
class Network {
 public:
  Network() = default;
  Network(Network&&) = default;  // a copy's layers would point at the weights of the original

  // Adds a layer: weights (neurons, inputs), each within kLargestWeight; inputs are the neurons of
  // the layer before.
  void add(const int16_t* weights, int neurons, int inputs);

  const std::vector<Layer>& layers() const { return layers_; }
  int inputs() const { return layers_.front().inputs; }

 private:
  std::vector<Layer> layers_;
  std::vector<std::vector<Line>> weights_;
};

// Runs images 0 .. images-1 of a job, on at most that many threads. The failure of the lowest image
// that has one, if any; what the job's arrays hold is then of no use.
std::optional<Failure> run(const Job& job, int64_t images, int threads);

// Writes traces (images, frames, bytes) over zeros.
void encode(const Job& job, int64_t images, int threads, uint8_t* bits);

// Runs neurons driven by hand.
std::optional<Failure> drive(const Drive& job);

// The instruction set in use.
const char* isa_name();

}  // namespace lrnn::fixed_point
