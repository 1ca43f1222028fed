// A minimal fiber: its own stack, and a switch that saves only what a function call must preserve.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#if defined(__SANITIZE_ADDRESS__)
#define SIMT_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SIMT_ASAN 1
#endif
#endif
#ifdef SIMT_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

extern "C" void simt_switch(void** save_sp, void* load_sp);

#if defined(__x86_64__)
asm(R"(
.text
.type simt_switch, @function
simt_switch:
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
#elif defined(__aarch64__)
asm(R"(
.text
.type simt_switch, %function
simt_switch:
  stp x29, x30, [sp, #-160]!
  stp x19, x20, [sp, #16]
  stp x21, x22, [sp, #32]
  stp x23, x24, [sp, #48]
  stp x25, x26, [sp, #64]
  stp x27, x28, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #16]
  ldp x21, x22, [sp, #32]
  ldp x23, x24, [sp, #48]
  ldp x25, x26, [sp, #64]
  ldp x27, x28, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  ldp x29, x30, [sp], #160
  ret
)");
#else
#error "write simt_switch for this processor"
#endif

namespace hone::simt::emu {

inline void poison_for_asan([[maybe_unused]] void* p, [[maybe_unused]] size_t n) {
#ifdef SIMT_ASAN
  __asan_poison_memory_region(p, n);
#endif
}
inline void unpoison_for_asan([[maybe_unused]] void* p, [[maybe_unused]] size_t n) {
#ifdef SIMT_ASAN
  __asan_unpoison_memory_region(p, n);
#endif
}

class Fiber {
 public:
  Fiber() = default;
  Fiber(const Fiber&) = delete;
  ~Fiber() {
    if (stack_) munmap(stack_ - kGuard, kStack + kGuard);
  }

  // Prepares the fiber to run entry(), which must never return. Its previous run is forgotten.
  void start(void (*entry)()) {
    if (!stack_) {
      void* p = mmap(nullptr, kStack + kGuard, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (p == MAP_FAILED || mprotect(p, kGuard, PROT_NONE)) std::abort();
      stack_ = static_cast<char*>(p) + kGuard;
    }
    unpoison_for_asan(stack_, kStack);
    auto** top = reinterpret_cast<void**>(stack_ + kStack);
#if defined(__x86_64__)
    top[-1] = nullptr;                         // where a debugger's backtrace ends
    top[-2] = reinterpret_cast<void*>(entry);  // simt_switch returns to it
    for (int i = 3; i <= 8; ++i) top[-i] = nullptr;
    sp_ = top - 8;
#else
    for (int i = 1; i <= 20; ++i) top[-i] = nullptr;
    top[-19] = reinterpret_cast<void*>(entry);
    sp_ = top - 20;
#endif
  }

 private:
  friend void switch_fiber(Fiber&, Fiber&, bool);
  friend void arrived_in_fiber();
  static constexpr size_t kGuard = 4096;
#if defined(SIMT_ASAN) || defined(SIMT_CHECK)  // what reports faults is called on it
  static constexpr size_t kStack = 256 * 1024;
#else
  static constexpr size_t kStack = 64 * 1024;
#endif
  void* sp_ = nullptr;
  char* stack_ = nullptr;
#ifdef SIMT_ASAN
  void* fake_ = nullptr;
  const void* bottom_ = nullptr;  // of a thread's own stack
  size_t size_ = 0;
  static inline thread_local Fiber* left = nullptr;
#endif
};

// Switches stacks. A dying fiber is never switched back to.
inline void switch_fiber(Fiber& from, Fiber& to, [[maybe_unused]] bool dying) {
#ifdef SIMT_ASAN
  Fiber::left = &from;
  __sanitizer_start_switch_fiber(dying ? nullptr : &from.fake_, to.stack_ ? to.stack_ : to.bottom_,
                                 to.stack_ ? Fiber::kStack : to.size_);
#endif
  simt_switch(&from.sp_, to.sp_);
#ifdef SIMT_ASAN
  __sanitizer_finish_switch_fiber(from.fake_, nullptr, nullptr);
#endif
}

// A fiber's first act.
inline void arrived_in_fiber() {
#ifdef SIMT_ASAN
  const void* bottom;
  size_t size;
  __sanitizer_finish_switch_fiber(nullptr, &bottom, &size);
  if (!Fiber::left->stack_) Fiber::left->bottom_ = bottom, Fiber::left->size_ = size;
#endif
}

}  // namespace hone::simt::emu
