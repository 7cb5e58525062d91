// A file's bytes without reading it: memory-mapped, read-only (POSIX).
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <utility>

#include <qcnet/core/result.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace qcnet::inline QCNET_ABI::io {

/// A regular file mapped as a whole. Moving it keeps the bytes where they are.
class MappedFile {
 public:
  static Result<MappedFile> open(const std::string& path) {
    MappedFile file;
    // O_NONBLOCK: a named pipe must give an error, not wait for a writer.
    file.descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file.descriptor_ < 0) return failed(path, "cannot be opened");
    struct stat status;
    if (::fstat(file.descriptor_, &status) != 0) return failed(path, "cannot be examined");
    if (S_ISDIR(status.st_mode)) return Error(path + ": is a folder, expected a file");
    if (!S_ISREG(status.st_mode)) return Error(path + ": is not a regular file");
    const auto size = static_cast<std::uint64_t>(status.st_size);
    if (size > PTRDIFF_MAX) return Error(path + ": is too large for this machine");
    if (size == 0) return file;  // nothing to map
    void* data = ::mmap(nullptr, static_cast<std::size_t>(size), PROT_READ, MAP_PRIVATE, file.descriptor_, 0);
    if (data == MAP_FAILED) return failed(path, "cannot be mapped");
    file.bytes_ = {static_cast<const std::byte*>(data), static_cast<std::size_t>(size)};
    return file;
  }

  MappedFile(MappedFile&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, -1)), bytes_(std::exchange(other.bytes_, {})) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~MappedFile() {
    if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  std::span<const std::byte> bytes() const { return bytes_; }

  /// An Error if the file has become shorter than its mapping: touching the lost pages would kill the process
  /// (SIGBUS). Ask before each long read. A file that shrinks during that read still kills; only copying it
  /// into memory would not, and replacing files by rename, as every careful writer does, avoids it.
  Result<void> check_size() const {
    struct stat status;
    if (::fstat(descriptor_, &status) != 0) return Error("the file cannot be examined any more");
    if (static_cast<std::uint64_t>(status.st_size) < bytes_.size())
      return Error("the file was cut from " + std::to_string(bytes_.size()) + " to " +
                   std::to_string(status.st_size) + " bytes after it was opened");
    return {};
  }

 private:
  MappedFile() = default;
  static Error failed(const std::string& path, const char* what) {
    return Error(path + ": " + what + ": " + std::strerror(errno));
  }

  int descriptor_ = -1;
  std::span<const std::byte> bytes_;
};

}  // namespace qcnet::inline QCNET_ABI::io
