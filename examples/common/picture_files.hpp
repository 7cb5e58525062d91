// Files and pictures in folders, in alphabetical order.
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include <qcnet/core/result.hpp>

namespace examples {

inline qcnet::Result<std::vector<std::filesystem::path>> sorted_entries(const std::filesystem::path& path) {
  std::vector<std::filesystem::path> entries;
  std::error_code error;
  std::filesystem::directory_iterator at(path, error);
  for (; !error && at != std::filesystem::directory_iterator(); at.increment(error))
    entries.push_back(at->path());
  if (error) return qcnet::Error(path.string() + ": cannot be listed: " + error.message());
  std::sort(entries.begin(), entries.end());
  return entries;
}

/// Error: an archive, as the scripts that train take them; the programs read folders.
inline qcnet::Result<void> check_unpacked(const std::string& path) {
  std::error_code error;
  if (!path.ends_with(".zip") || !std::filesystem::is_regular_file(path, error)) return {};
  return qcnet::Error(path + ": is an archive; unzip it, and give the folder");
}

/// By its name: JPEG, PNG or BMP.
inline bool is_picture(const std::filesystem::path& file) {
  std::string extension = file.extension().string();
  for (char& c : extension)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return extension == ".jpg" || extension == ".jpeg" || extension == ".png" || extension == ".bmp";
}

}  // namespace examples
