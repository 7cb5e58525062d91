// Names of classes, and which of a model's outputs stands for which class of a dataset.
#pragma once

#include <algorithm>
#include <cstddef>
#include <fstream>
#include <string>
#include <vector>

#include <qcnet/core/result.hpp>
#include <qcnet/io/safetensors.hpp>

namespace examples {

/// One name on each line.
inline qcnet::Result<std::vector<std::string>> read_class_names(const std::string& path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    if (line.ends_with('\r')) line.pop_back();
    lines.push_back(line);
  }
  if (lines.empty()) return qcnet::Error(path + ": cannot be read, or holds no names");
  return lines;
}

/// For each class of a dataset its number in a model of `outputs` classes: by name, or by position where one
/// side has no names (those of idx files are numbers, which the model's need not be). Error: a class that the
/// model does not have.
inline qcnet::Result<std::vector<std::size_t>> match_classes(const std::vector<std::string>& dataset,
                                                             const std::vector<std::string>& model,
                                                             std::size_t outputs) {
  const auto is_known = [&](const std::string& name) {
    return std::find(model.begin(), model.end(), name) != model.end();
  };
  const auto is_number = [](const std::string& name) {
    return name.find_first_not_of("0123456789") == name.npos;
  };
  const bool by_name = !model.empty() && (!std::all_of(dataset.begin(), dataset.end(), is_number) ||
                                          std::all_of(dataset.begin(), dataset.end(), is_known));
  std::vector<std::size_t> numbers;
  for (const std::string& name : dataset) {
    std::size_t number = numbers.size();
    if (by_name)
      number = static_cast<std::size_t>(std::find(model.begin(), model.end(), name) - model.begin());
    if (number >= (by_name ? model.size() : outputs))
      return qcnet::Error("the model knows no class \"" + qcnet::io::detail::printable(name) +
                          "\" of the dataset");
    numbers.push_back(number);
  }
  return numbers;
}

}  // namespace examples
