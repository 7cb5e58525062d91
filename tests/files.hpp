// Files in tests.
#pragma once

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include <unistd.h>

/// The whole file, empty if it cannot be read.
inline std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Bytes that a page of documentation shows as hexadecimal digits, block by block.
inline std::vector<std::string> hex_blocks(const std::string& path) {
  const std::string page = read_file(path);
  std::vector<std::string> blocks;
  for (std::size_t at = page.find("```hex\n"); at != std::string::npos; at = page.find("```hex\n", at + 1)) {
    const std::size_t begin = at + 7;
    std::string digits = page.substr(begin, page.find("```", begin) - begin);
    std::erase_if(digits, [](char c) { return c == ' ' || c == '\n'; });
    blocks.emplace_back();
    for (std::size_t i = 0; i < digits.size(); i += 2)
      blocks.back() += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  }
  return blocks;
}

inline std::span<const std::byte> as_bytes(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

/// A file in the temporary folder that goes away with the object.
struct TemporaryFile {
  std::string path;
  TemporaryFile(const std::string& name, const std::string& content)
      : path((std::filesystem::temp_directory_path() /
              ("qcnet_test_" + std::to_string(::getpid()) + "_" + name))
                 .string()) {
    std::ofstream(path, std::ios::binary) << content;
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() { std::filesystem::remove(path); }
};

/// An empty folder in the temporary folder that goes away with the object and all that is in it.
struct TemporaryFolder {
  std::string path =
      (std::filesystem::temp_directory_path() / ("qcnet_test_folder_" + std::to_string(::getpid()))).string();
  TemporaryFolder() { std::filesystem::create_directories(path); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() { std::filesystem::remove_all(path); }

  /// Makes the folders of `name` as well; returns the file's path.
  std::string write(const std::string& name, const std::string& content) const {
    const std::string file = path + "/" + name;
    std::filesystem::create_directories(std::filesystem::path(file).parent_path());
    std::ofstream(file, std::ios::binary) << content;
    return file;
  }
};
