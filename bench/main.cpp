// qcnet_bench: Google Benchmark's options, and QCNET_THREADS for the number of threads (1 unless set).
#include "common.hpp"

#include <cstdlib>
#include <string>

#include <benchmark/benchmark.h>

int main(int argc, char** argv) {
  const char* threads = std::getenv("QCNET_THREADS");
  qcnet::set_num_threads(threads != nullptr ? std::atoi(threads) : 1);
  benchmark::AddCustomContext("isa", qcnet::isa_name);
  benchmark::AddCustomContext("threads", std::to_string(qcnet::num_threads()));
  benchmark::AddCustomContext("fma_peak_gflops_per_thread", std::to_string(qcnet::bench::fma_peak()));
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
