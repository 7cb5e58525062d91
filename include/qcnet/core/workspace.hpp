// Memory of a forward pass, planned once.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <vector>

#include <qcnet/core/aligned_buffer.hpp>

namespace qcnet::inline QCNET_ABI {

/// Lays out buffers with known lifetimes in one block of memory: two buffers share bytes only if they are
/// never alive at the same step. Greedy by size, largest first (Pisarchyk & Lee, "Efficient Memory Management
/// for Deep Neural Net Inference", 2020).
class WorkspacePlan {
 public:
  /// Asks for `bytes` that are in use from step `first` to step `last`, both included; returns the buffer's
  /// number.
  std::size_t add(std::size_t bytes, std::size_t first, std::size_t last) {
    const std::size_t alignment = AlignedBuffer<std::byte>::alignment;
    buffers_.push_back({(bytes + alignment - 1) / alignment * alignment, first, last, 0});
    return buffers_.size() - 1;
  }

  /// Keeps a buffer in use up to step `last`.
  void extend(std::size_t buffer, std::size_t last) {
    buffers_[buffer].last = std::max(buffers_[buffer].last, last);
  }

  /// Chooses all offsets; call once, after the last `add`. False if the block would have more than `most`
  /// bytes. Neither that nor a buffer may be more than half of what a size_t holds, or sums would wrap.
  bool place(std::size_t most = std::numeric_limits<std::size_t>::max() / 2) {
    std::vector<Buffer*> by_size;
    for (Buffer& buffer : buffers_)
      if (buffer.bytes != 0) by_size.push_back(&buffer);
    std::stable_sort(by_size.begin(), by_size.end(),
                     [](const Buffer* a, const Buffer* b) { return a->bytes > b->bytes; });
    std::vector<const Buffer*> placed;  // sorted by offset
    for (Buffer* buffer : by_size) {
      buffer->offset = first_gap(*buffer, placed);
      if (buffer->offset + buffer->bytes > most) return false;
      bytes_ = std::max(bytes_, buffer->offset + buffer->bytes);
      const auto at =
          std::upper_bound(placed.begin(), placed.end(), buffer,
                           [](const Buffer* a, const Buffer* b) { return a->offset < b->offset; });
      placed.insert(at, buffer);
    }
    return true;
  }

  std::size_t offset(std::size_t buffer) const { return buffers_[buffer].offset; }
  /// Bytes of the whole block.
  std::size_t bytes() const { return bytes_; }

 private:
  struct Buffer {
    std::size_t bytes, first, last, offset;
  };

  static std::size_t first_gap(const Buffer& wanted, const std::vector<const Buffer*>& placed) {
    std::size_t offset = 0;
    for (const Buffer* other : placed) {
      const bool overlap_in_time = other->first <= wanted.last && wanted.first <= other->last;
      if (!overlap_in_time) continue;
      if (offset + wanted.bytes <= other->offset) break;
      offset = std::max(offset, other->offset + other->bytes);
    }
    return offset;
  }

  std::vector<Buffer> buffers_;
  std::size_t bytes_ = 0;
};

/// The block itself.
class Workspace {
 public:
  Workspace() = default;
  explicit Workspace(const WorkspacePlan& plan) : block_(plan.bytes()) {}
  std::byte* at(std::size_t offset) { return block_.data() + offset; }
  const std::byte* at(std::size_t offset) const { return block_.data() + offset; }
  std::size_t bytes() const { return block_.size(); }

 private:
  AlignedBuffer<std::byte> block_;
};

}  // namespace qcnet::inline QCNET_ABI
