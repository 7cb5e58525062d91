// Which of a model's outputs stands for which class of a dataset.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include <qcnet/core/result.hpp>

namespace examples {

/// For each class of a dataset its number in a model of `outputs` classes: by name where the names agree, by
/// position where no name does (idx files have none). Error: some names agree and some do not, or the model
/// has too few classes.
inline qcnet::Result<std::vector<std::size_t>> match_classes(const std::vector<std::string>& dataset,
                                                             const std::vector<std::string>& model,
                                                             std::size_t outputs) {
  std::vector<std::size_t> by_name, by_position;
  std::string stranger;
  for (std::size_t i = 0; i < dataset.size(); ++i) {
    const auto found = std::find(model.begin(), model.end(), dataset[i]);
    if (found == model.end())
      stranger = dataset[i];
    else
      by_name.push_back(static_cast<std::size_t>(found - model.begin()));
    by_position.push_back(i);
  }
  if (by_name.size() == dataset.size()) return by_name;
  if (!by_name.empty()) return qcnet::Error("the model knows no class \"" + stranger + "\" of the dataset");
  if (dataset.size() > outputs)
    return qcnet::Error("the dataset has " + std::to_string(dataset.size()) + " classes, the model " +
                        std::to_string(outputs));
  return by_position;
}

}  // namespace examples
