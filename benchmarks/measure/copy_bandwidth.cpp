// Copy bandwidth: copies that run on torch's own threads, so that the operators and what they are
// compared with wake the same workers.
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <atomic>
#include <thread>
#include <vector>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace {

constexpr size_t kLine = 64;

struct Copy {
  char* dst;
  const char* src;
  size_t bytes, piece;
  bool nontemporal;
  std::atomic<size_t> next{0};
};

// Stores that bypass the caches save the read of the line that a plain store overwrites.
void copy_nontemporal(char* dst, const char* src, size_t bytes) {
#if defined(__SSE2__)
  for (size_t i = 0; i < bytes; i += kLine) {
#if defined(__AVX512F__)
    _mm512_stream_si512(reinterpret_cast<__m512i*>(dst + i), _mm512_load_si512(src + i));
#elif defined(__AVX__)
    const __m256i low = _mm256_load_si256(reinterpret_cast<const __m256i*>(src + i));
    const __m256i high = _mm256_load_si256(reinterpret_cast<const __m256i*>(src + i + 32));
    _mm256_stream_si256(reinterpret_cast<__m256i*>(dst + i), low);
    _mm256_stream_si256(reinterpret_cast<__m256i*>(dst + i + 32), high);
#else
    for (size_t k = 0; k < kLine; k += 16)
      _mm_stream_si128(reinterpret_cast<__m128i*>(dst + i + k),
                       _mm_load_si128(reinterpret_cast<const __m128i*>(src + i + k)));
#endif
  }
  _mm_sfence();
#else
  memcpy(dst, src, bytes);
#endif
}

// Vector loads and plain stores. memcpy would switch to non-temporal stores by itself at some size,
// and the two must stay apart.
void copy_plain(char* dst, const char* src, size_t bytes) {
#if defined(__AVX__)
  for (size_t i = 0; i < bytes; i += kLine) {
    const __m256i low = _mm256_load_si256(reinterpret_cast<const __m256i*>(src + i));
    const __m256i high = _mm256_load_si256(reinterpret_cast<const __m256i*>(src + i + 32));
    _mm256_store_si256(reinterpret_cast<__m256i*>(dst + i), low);
    _mm256_store_si256(reinterpret_cast<__m256i*>(dst + i + 32), high);
    asm volatile("" ::: "memory");  // else the compiler recognizes memcpy
  }
#else
  memcpy(dst, src, bytes);
#endif
}

void work(void* context) {
  Copy& copy = *static_cast<Copy*>(context);
  // Not by thread number: should the runtime grant fewer threads than requested, the remaining
  // pieces are still copied.
  for (size_t start; (start = copy.next.fetch_add(copy.piece)) < copy.bytes;) {
    const size_t n = copy.bytes - start < copy.piece ? copy.bytes - start : copy.piece;
    (copy.nontemporal ? copy_nontemporal : copy_plain)(copy.dst + start, copy.src + start, n);
  }
}

// A pass that only moves: reads several streams, writes several past the caches, adds so that
// nothing is left out.
struct Streams {
  const float* const* reads;
  float* const* writes;
  int num_reads, num_writes;
  size_t floats, piece;
  std::atomic<size_t> next{0};
};

#if defined(__SSE2__)
template <int kReads, int kWrites>
void move_streams(const Streams& s, size_t begin, size_t end) {
  for (size_t i = begin; i < end; i += 16)
    for (size_t k = i; k < i + 16; k += 4) {
      __m128 sum = _mm_load_ps(s.reads[0] + k);
      for (int r = 1; r < kReads; ++r) sum = _mm_add_ps(sum, _mm_load_ps(s.reads[r] + k));
      for (int w = 0; w < kWrites; ++w) _mm_stream_ps(s.writes[w] + k, sum);
    }
  _mm_sfence();
}

template <int kReads>
void move_streams(const Streams& s, size_t begin, size_t end) {
  switch (s.num_writes) {
    case 1:
      return move_streams<kReads, 1>(s, begin, end);
    case 2:
      return move_streams<kReads, 2>(s, begin, end);
    default:
      return move_streams<kReads, 3>(s, begin, end);
  }
}

void work_streams(void* context) {
  Streams& s = *static_cast<Streams*>(context);
  for (size_t begin; (begin = s.next.fetch_add(s.piece)) < s.floats;) {
    const size_t end = s.floats - begin < s.piece ? s.floats : begin + s.piece;
    switch (s.num_reads) {
      case 1:
        move_streams<1>(s, begin, end);
        break;
      case 2:
        move_streams<2>(s, begin, end);
        break;
      case 3:
        move_streams<3>(s, begin, end);
        break;
      case 4:
        move_streams<4>(s, begin, end);
        break;
      default:
        move_streams<5>(s, begin, end);
    }
  }
}
#endif

}  // namespace

using GompParallel = void (*)(void (*)(void*), void*, unsigned, unsigned);

// Copies bytes, rounded down to cache lines, between buffers aligned to 64 bytes. gomp_parallel:
// the address of that function in the OpenMP runtime that torch uses; null makes threads of its
// own.
extern "C" void lrnn_copy(char* dst, const char* src, size_t bytes, int nontemporal,
                               int threads, void* gomp_parallel) {
  bytes = bytes / kLine * kLine;
  Copy copy{dst, src, bytes, (bytes / threads / kLine + 1) * kLine, nontemporal != 0};
  if (threads == 1) return work(&copy);
  if (gomp_parallel) return reinterpret_cast<GompParallel>(gomp_parallel)(work, &copy, threads, 0);
  std::vector<std::thread> helpers;
  for (int i = 1; i < threads; ++i) helpers.emplace_back(work, &copy);
  work(&copy);
  for (auto& helper : helpers) helper.join();
}

// Reads floats values of each of num_reads (1 to 5) streams and writes num_writes (1 to 3); returns
// 0 where this is not implemented.
extern "C" int lrnn_move_streams(const float* const* reads, int num_reads, float* const* writes,
                                 int num_writes, size_t floats, int threads, void* gomp_parallel) {
#if defined(__SSE2__)
  floats = floats / 16 * 16;
  Streams streams{reads, writes, num_reads, num_writes, floats, (floats / threads / 16 + 1) * 16};
  if (threads > 1 && gomp_parallel)
    reinterpret_cast<GompParallel>(gomp_parallel)(work_streams, &streams, threads, 0);
  else
    work_streams(&streams);
  return 1;
#else
  return 0;
#endif
}
