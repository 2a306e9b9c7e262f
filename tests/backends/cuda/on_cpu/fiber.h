// A fiber: a stack and where it left off. Switching saves what a called function must preserve and
// exchanges stack pointers.
//
// The executor is compiled without ThreadSanitizer and tells it about fibers by hand, if the
// program it is linked into has one: every fiber is a thread to it, and only what synchronizes on
// the device synchronizes there.
#pragma once

#include <stddef.h>
#include <stdint.h>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

extern "C" {
__attribute__((weak)) void* __tsan_get_current_fiber();
__attribute__((weak)) void* __tsan_create_fiber(unsigned);
__attribute__((weak)) void __tsan_destroy_fiber(void*);
__attribute__((weak)) void __tsan_switch_to_fiber(void*, unsigned);
__attribute__((weak)) void __tsan_acquire(void*);
__attribute__((weak)) void __tsan_release(void*);
}

namespace cuda_on_cpu {

// What happened before a signal(x) happened before whatever follows a later observe(x).
inline void signal(void* x) {
  if (__tsan_release) __tsan_release(x);
}
inline void observe(void* x) {
  if (__tsan_acquire) __tsan_acquire(x);
}

#if defined(__x86_64__)
extern "C" void cuda_on_cpu_switch(void** from, void* to);
asm(R"(
.text
.globl cuda_on_cpu_switch
.hidden cuda_on_cpu_switch
cuda_on_cpu_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");
#endif

class Fiber {
 public:
  // For the caller's own stack: something to come back to.
  Fiber() {
    if (__tsan_get_current_fiber) tsan_ = __tsan_get_current_fiber();
  }

  // Starts entry() on [stack, stack + bytes) when first switched to. entry must not return.
  Fiber(void (*entry)(), char* stack, size_t bytes) : owns_tsan_(true) {
    if (__tsan_create_fiber) tsan_ = __tsan_create_fiber(0);
#if defined(__x86_64__)
    void** top = reinterpret_cast<void**>(stack + bytes);
    *--top = nullptr;  // entry's return address: the stack is aligned as after a call
    *--top = reinterpret_cast<void*>(entry);
    for (int i = 0; i < 6; ++i) *--top = nullptr;
    pointer_ = top;
#else
    getcontext(&context_);
    context_.uc_stack.ss_sp = stack;
    context_.uc_stack.ss_size = bytes;
    context_.uc_link = nullptr;
    makecontext(&context_, entry, 0);
#endif
  }
  ~Fiber() {
    if (owns_tsan_ && __tsan_destroy_fiber) __tsan_destroy_fiber(tsan_);
  }
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Leaves this fiber, which is running, for another.
  void switch_to(Fiber& next) {
    if (__tsan_switch_to_fiber)
      __tsan_switch_to_fiber(next.tsan_, 1);  // 1: a switch by itself orders nothing
#if defined(__x86_64__)
    cuda_on_cpu_switch(&pointer_, next.pointer_);
#else
    swapcontext(&context_, &next.context_);
#endif
  }

 private:
#if defined(__x86_64__)
  void* pointer_ = nullptr;
#else
  ucontext_t context_;
#endif
  void* tsan_ = nullptr;
  bool owns_tsan_ = false;
};

}  // namespace cuda_on_cpu
