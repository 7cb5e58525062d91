// Memory aligned to a cache line; large memory in huge pages.
#pragma once

#include <cstddef>
#include <cstring>
#include <limits>
#include <new>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include <qcnet/core/config.hpp>
#include <qcnet/core/huge_pages.hpp>
#include <qcnet/core/result.hpp>

namespace qcnet::inline QCNET_ABI {

/// A fixed number of trivial elements, zeroed, its first byte on a 64-byte boundary (a cache line and an
/// AVX-512 register). Raises if they are more than what a machine addresses.
template <class T>
class AlignedBuffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  static constexpr std::size_t alignment = 64;

  AlignedBuffer() = default;
  explicit AlignedBuffer(std::size_t count) : size_(count) {
    if (count == 0) return;
    if (count > std::numeric_limits<std::ptrdiff_t>::max() / sizeof(T))
      raise(Error("so much memory cannot be addressed: " + std::to_string(count) + " times " +
                  std::to_string(sizeof(T)) + " bytes"));
    mapped_ = detail::huge_page_bytes(bytes());
    data_ = static_cast<T*>(detail::map_huge_pages(mapped_));
    if (data_ != nullptr) return;  // zeroed by the system
    mapped_ = 0;
    data_ = static_cast<T*>(::operator new (bytes(), std::align_val_t{alignment}));
    std::memset(static_cast<void*>(data_), 0, bytes());
  }
  AlignedBuffer(const AlignedBuffer& other) : AlignedBuffer(other.size_) {
    if (size_ != 0) std::memcpy(static_cast<void*>(data_), other.data_, bytes());
  }
  AlignedBuffer(AlignedBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        mapped_(std::exchange(other.mapped_, 0)) {}
  AlignedBuffer& operator=(AlignedBuffer other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(mapped_, other.mapped_);
    return *this;
  }
  ~AlignedBuffer() {
    if (mapped_ != 0)
      detail::unmap_huge_pages(data_, mapped_);
    else if (data_ != nullptr)
      ::operator delete (data_, std::align_val_t{alignment});
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::size_t size() const { return size_; }
  std::span<T> span() { return {data_, size_}; }
  std::span<const T> span() const { return {data_, size_}; }
  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }

 private:
  std::size_t bytes() const { return size_ * sizeof(T); }

  T* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t mapped_ = 0;  // bytes in pages of the system; 0: the memory is operator new's
};

}  // namespace qcnet::inline QCNET_ABI
