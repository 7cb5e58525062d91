#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include <qcnet/core/parallel.hpp>

#include <doctest/doctest.h>

TEST_CASE("parallel: every index once, for any number of threads") {
  for (const int threads : {1, 2, 3, 0}) {
    qcnet::set_num_threads(threads);
    for (const std::size_t count : {0u, 1u, 2u, 3u, 100u}) {
      std::vector<std::atomic<int>> calls(count);
      qcnet::parallel_for(count, [&](std::size_t i) { ++calls[i]; });
      for (const auto& n : calls) REQUIRE(n == 1);
      int plain = 0;  // not worth threads: all on this one
      qcnet::parallel_for(
          count, [&](std::size_t) { ++plain; }, false);
      REQUIRE(plain == static_cast<int>(count));
    }
  }
}

TEST_CASE("parallel: two threads do work at the same time") {
  qcnet::set_num_threads(2);
#ifdef QCNET_TEST_OPENMP
  REQUIRE(qcnet::num_threads() == 2);
#endif
  if (qcnet::num_threads() == 2) {
    std::atomic<int> here{0};
    std::atomic<bool> met{true};
    qcnet::parallel_for(2, [&](std::size_t) {
      ++here;
      const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
      while (here < 2 && std::chrono::steady_clock::now() < end) std::this_thread::yield();
      if (here < 2) met = false;
    });
    CHECK(met);
  }
  qcnet::set_num_threads(0);
}

TEST_CASE("parallel: the number of threads is what was asked for") {
  qcnet::set_num_threads(0);
  const int standard = qcnet::num_threads();
  CHECK(standard >= 1);
  qcnet::set_num_threads(3);
#ifdef QCNET_TEST_OPENMP
  CHECK(qcnet::num_threads() == 3);
#else
  CHECK(qcnet::num_threads() == standard);
#endif
  qcnet::set_num_threads(-1);
  CHECK(qcnet::num_threads() == standard);
}
