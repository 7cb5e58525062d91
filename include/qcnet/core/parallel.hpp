// Loops over threads: the only place that knows OpenMP. Without it everything runs on the calling thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include <qcnet/core/config.hpp>

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace qcnet::inline QCNET_ABI {

namespace detail {
inline int& thread_limit() {
  static int limit = 0;
  return limit;
}
}  // namespace detail

/// Threads that parallel loops may use from now on; 0 means OpenMP's own default (OMP_NUM_THREADS). Call it
/// before inference starts, not during it.
inline void set_num_threads(int count) {
  detail::thread_limit() = count > 0 ? count : 0;
}

/// Threads that the next parallel loop will use; 1 when built without OpenMP.
inline int num_threads() {
#if defined(_OPENMP)
  return detail::thread_limit() > 0 ? detail::thread_limit() : omp_get_max_threads();
#else
  return 1;
#endif
}

/// Whether so many multiply-adds take longer than waking threads does.
inline bool is_worth_threads(std::uint64_t multiply_adds) {
  return multiply_adds > 1u << 18;
}

/// Calls `body(i)` for every i below `count`, in any order, possibly at the same time. A body must not depend
/// on which thread runs it, so that results are the same for any number of threads. `worth_it` false: too
/// little work to wake threads for, stay on the calling one.
template <class Body>
void parallel_for(std::size_t count, const Body& body, [[maybe_unused]] bool worth_it = true) {
#if defined(_OPENMP)
  const int threads = num_threads();
  if (worth_it && threads > 1 && count > 1) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (std::size_t i = 0; i < count; ++i) body(i);
    return;
  }
#endif
  for (std::size_t i = 0; i < count; ++i) body(i);
}

}  // namespace qcnet::inline QCNET_ABI
