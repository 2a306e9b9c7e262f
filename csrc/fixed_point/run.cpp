#include "run.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <thread>

#include "../isa.h"

namespace lrnn::fixed_point {

#define LRNN_DECLARE(isa) \
  namespace isa {         \
  Kernels kernels();      \
  }
LRNN_ISAS(LRNN_DECLARE)
#undef LRNN_DECLARE

namespace {

#define LRNN_ROW(isa) LRNN_WHERE_BUILT_##isa(isa::kernels),
constexpr Kernels (*kTable[kIsaCount])() = {LRNN_ISAS(LRNN_ROW)};
#undef LRNN_ROW

Isa chosen() {
  static const Isa isa =
      choose_isa([](Isa isa) { return kTable[static_cast<int>(isa)] && processor_runs(isa); });
  return isa;
}

Kernels kernels() { return kTable[static_cast<int>(chosen())](); }

int padded(int neurons) { return (neurons + kPad - 1) / kPad * kPad; }

// Owns what Scratch points at.
class Workspace {
 public:
  Workspace(const Layer* layers, int depth, int inputs) {
    int sum = 0, widest = std::max(inputs, kPad);
    for (int l = 0; l < depth; ++l) {
      sum += layers[l].padded;
      widest = std::max(widest, layers[l].padded);
    }
    state_.resize(std::max(3 * sum / kPad, 1));  // at least one, to point at: traces have no layers
    wide_.resize(widest);
    for (auto& events : events_) events.resize(widest + 8);  // list_bits writes beyond the last
    chunks_.resize((inputs + 63) / 64);
  }
  Scratch scratch() {
    return {state_.data()->values,
            wide_.data(),
            {events_[0].data(), events_[1].data()},
            chunks_.data()};
  }

 private:
  std::vector<Line> state_;
  std::vector<int32_t> wide_;
  std::vector<uint32_t> events_[2];
  std::vector<Chunk> chunks_;
};

// Calls work(scratch, image) for images in rising order, on several threads, until one returns
// false; every image below that one is done then.
template <class Work>
void for_images(const Job& job, int64_t images, int threads, Work work) {
  std::atomic<int64_t> next{0}, stop{images};
  std::exception_ptr thrown;
  std::mutex mutex;
  auto worker = [&] {
    try {
      Workspace workspace(job.layers, job.depth, job.inputs);
      const Scratch scratch = workspace.scratch();
      // The watch is asked often enough in long images; in many short ones, between them.
      const int64_t work_of_image = job.frames * kPad;
      for (int64_t image; job.watch->go_on(work_of_image) && (image = next++) < stop;) {
        if (work(scratch, image)) continue;
        for (int64_t seen = stop; image < seen && !stop.compare_exchange_weak(seen, image);) {
        }
      }
    } catch (...) {
      std::lock_guard lock(mutex);
      thrown = std::current_exception();
      stop = 0;
    }
  };
  std::vector<std::thread> others;
  try {
    for (int64_t i = 1; i < std::min<int64_t>(threads, images); ++i) others.emplace_back(worker);
  } catch (...) {  // the system has no more threads to give: fewer do it as well
  }
  worker();
  for (auto& thread : others) thread.join();
  if (thrown) std::rethrow_exception(thrown);
}

}  // namespace

void Network::add(const int16_t* weights, int neurons, int inputs) {
  const int width = padded(neurons);
  std::vector<Line> rows(static_cast<size_t>(inputs) * width / kPad);
  int16_t* to = rows.data()->values;
  int32_t largest = 0;
  for (int k = 0; k < neurons; ++k) {
    for (int j = 0; j < inputs; ++j) {
      const int16_t weight = weights[static_cast<int64_t>(k) * inputs + j];
      to[static_cast<int64_t>(j) * width + k] = weight;
      largest = std::max(largest, std::abs(int32_t{weight}));
    }
  }
  layers_.push_back({inputs, neurons, width, largest, to});
  weights_.push_back(std::move(rows));  // moving leaves the lines where they are
}

std::optional<Failure> run(const Job& job, int64_t images, int threads) {
  const Kernels k = kernels();
  std::optional<Failure> first;
  std::mutex mutex;
  for_images(job, images, threads, [&](const Scratch& scratch, int64_t image) {
    Failure failure;
    if (k.run(job, scratch, image, &failure)) return true;
    if (job.watch->stopped()) return false;
    std::lock_guard lock(mutex);
    if (!first || failure.image < first->image) first = failure;
    return false;
  });
  return first;
}

void encode(const Job& job, int64_t images, int threads, uint8_t* bits) {
  const Kernels k = kernels();
  const int64_t bytes = job.frames * ((job.inputs + 7) / 8);
  for_images(job, images, threads, [&](const Scratch& scratch, int64_t image) {
    k.encode(job, scratch, image, bits + image * bytes);
    return true;
  });
}

std::optional<Failure> drive(const Drive& job) {
  const Layer layer{0, job.neurons, padded(job.neurons), 0, nullptr};
  Workspace workspace(&layer, 1, 0);
  Failure failure;
  if (kernels().drive(job, workspace.scratch(), &failure)) return {};
  return failure;
}

const char* isa_name() { return lrnn::isa_name(chosen()); }

}  // namespace lrnn::fixed_point
