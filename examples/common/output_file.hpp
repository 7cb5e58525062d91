// A file that appears whole or not at all.
#pragma once

#include <array>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <utility>

#include <qcnet/core/result.hpp>

#include <unistd.h>

namespace examples {

/// What SIGINT, SIGTERM and SIGHUP remove before they end the program.
class Unfinished {
 public:
  static void add(const std::string& path) {
    std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow gives a write error, with a sentence
    for (const int signal : {SIGINT, SIGTERM, SIGHUP})
      if (std::signal(signal, clear) == SIG_IGN) std::signal(signal, SIG_IGN);  // nohup's stays
    char* name = strdup(path.c_str());
    for (auto& place : names_) {
      char* nothing = nullptr;
      if (place.compare_exchange_strong(nothing, name)) return;
    }
    std::free(name);
  }
  static void remove(const std::string& path) {
    for (auto& place : names_)
      if (char* name = place.load(); name != nullptr && path == name) std::free(place.exchange(nullptr));
  }

 private:
  static void clear(int signal) {
    for (auto& place : names_)
      if (const char* name = place.load()) unlink(name);
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
  static inline std::array<std::atomic<char*>, 4> names_{};  // no program writes more files at once
};

/// Writes to a file of its own beside `path` until `commit` renames it; without `commit` nothing remains.
/// A file that was there before leaves its permissions. What is no regular file (a pipe, /dev/null, a link)
/// is written directly.
class OutputFile {
 public:
  static qcnet::Result<OutputFile> open(const std::string& path) {
    OutputFile file;
    std::error_code error;
    if (std::filesystem::is_directory(path, error)) return qcnet::Error(path + ": is a folder");
    const auto before = std::filesystem::symlink_status(path, error);
    const bool exists = before.type() == std::filesystem::file_type::regular;
    const bool replace = exists || before.type() == std::filesystem::file_type::not_found;
    file.path_ = path;
    file.part_ = replace ? path + "." + std::to_string(getpid()) + ".part" : path;
    file.stream_.open(file.part_, std::ios::binary);
    if (!file.stream_) return qcnet::Error(path + ": cannot be created; may this folder be written?");
    if (replace) Unfinished::add(file.part_);
    if (exists) std::filesystem::permissions(file.part_, before.permissions(), error);
    return file;
  }

  OutputFile(OutputFile&& other)
      : path_(std::move(other.path_)),
        part_(std::exchange(other.part_, {})),
        stream_(std::move(other.stream_)) {}
  OutputFile& operator=(OutputFile&&) = delete;
  ~OutputFile() {
    std::error_code error;
    if (part_ == path_) return;
    std::filesystem::remove(part_, error);
    Unfinished::remove(part_);
  }

  std::ostream& stream() { return stream_; }

  /// Gives the file its name. Error: not everything could be written.
  qcnet::Result<void> commit() {
    stream_.close();
    std::error_code error;
    if (stream_ && part_ != path_) std::filesystem::rename(part_, path_, error);
    if (!stream_ || error) return qcnet::Error(path_ + ": cannot be written; is the disk full?");
    Unfinished::remove(part_);
    part_ = path_;
    return {};
  }

 private:
  OutputFile() = default;
  std::string path_, part_;  // the same once there is nothing to remove
  std::ofstream stream_;
};

}  // namespace examples
