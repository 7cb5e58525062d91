// Time and memory, as the programs report them.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

namespace examples {

/// Milliseconds of many calls of the same thing.
class Timings {
 public:
  /// Calls `f`, notes how long it took and returns what it returns.
  template <class F>
  auto operator()(const F& f) {
    const auto start = std::chrono::steady_clock::now();
    auto result = f();
    const double ms =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    if (ms_.size() < kept)
      ms_.push_back(ms);
    else
      ms_[calls_ % kept] = ms;
    ++calls_;
    return result;
  }

  /// 0 if nothing was timed.
  double median() const {
    if (ms_.empty()) return 0;
    std::vector<double> sorted = ms_;
    const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
    std::nth_element(sorted.begin(), middle, sorted.end());
    return *middle;
  }

 private:
  static constexpr std::size_t kept = 1 << 16;  // the latest; a server may run for years
  std::vector<double> ms_;
  std::size_t calls_ = 0;
};

/// The most memory this process has had in RAM so far, in bytes (Linux's VmHWM); 0 where that is unknown.
inline std::size_t peak_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stoul(line.substr(6)) * 1024;
  return 0;
}

/// `number` with this many decimals.
inline std::string fixed(double number, int decimals) {
  char text[400];  // the largest double has 309 digits
  std::snprintf(text, sizeof text, "%.*f", decimals, number);
  return text;
}

inline std::string megabytes(std::size_t bytes) {
  return fixed(static_cast<double>(bytes) / 1e6, 2) + " MB";
}

}  // namespace examples
