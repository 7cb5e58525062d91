// From logits to classes with names and probabilities.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <qcnet/kernels/activation.hpp>

namespace examples {

struct Answer {
  std::size_t index;
  float probability;
};

/// The `count` most probable classes, best first. Error: the network's outputs are not numbers.
inline qcnet::Result<std::vector<Answer>> best(qcnet::ConstTensorView logits, std::size_t count) {
  if (!std::ranges::all_of(logits.span(), [](float logit) { return std::isfinite(logit); }))
    return qcnet::Error("the network's outputs are not numbers: are its weights damaged?");
  qcnet::Tensor probabilities(logits.shape);
  qcnet::kernels::softmax(logits, probabilities);
  std::vector<Answer> answers;
  for (std::size_t i = 0; i < probabilities.span().size(); ++i) answers.push_back({i, probabilities[i]});
  count = std::min(count, answers.size());
  // By logits: probabilities of different ones may be rounded to the same, to 0 say.
  const auto rank = [&logits](const Answer& answer) {
    return std::pair(-logits.span()[answer.index], answer.index);
  };
  std::ranges::partial_sort(answers, answers.begin() + static_cast<std::ptrdiff_t>(count), {}, rank);
  answers.resize(count);
  return answers;
}

/// Its name, or "class 7" where the model names none.
inline std::string class_name(const std::vector<std::string>& names, std::size_t index) {
  return index < names.size() ? names[index] : "class " + std::to_string(index);
}

}  // namespace examples
