// Refuses frames that were seen before.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <qcnet/core/result.hpp>

namespace qcnet::inline QCNET_ABI {

/// One for each connection: accepts only sequence numbers that rise. Gaps are fine, frames may be lost. A
/// node that starts again numbers from 1 (Node::number_from): that is a new connection. Against an attacker
/// who can forge frames the link itself must authenticate them (TLS, DTLS).
class ReplayGuard {
 public:
  /// Error: `sequence` is not above every one accepted so far. Call it with a frame that `Frame::parse` took.
  Result<void> accept(std::uint64_t sequence) {
    if (last_ && sequence <= *last_)
      return Error("frame " + std::to_string(sequence) + " comes after frame " + std::to_string(*last_) +
                   ": it was replayed or overtaken, or its node began anew, which takes a new connection");
    last_ = sequence;
    return {};
  }

 private:
  std::optional<std::uint64_t> last_;
};

}  // namespace qcnet::inline QCNET_ABI
