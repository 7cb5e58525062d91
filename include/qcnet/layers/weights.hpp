// Reading a layer's weights out of a file, with errors that name the tensor.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <qcnet/core/tensor.hpp>
#include <qcnet/io/safetensors.hpp>

namespace qcnet::inline QCNET_ABI {

namespace detail {

inline Result<Tensor> finite(Result<Tensor> tensor, const std::string& name) {
  if (tensor.ok())
    for (const float x : tensor->span())
      if (!std::isfinite(x)) return Error(name + ": holds NaN or infinity, a weight must be finite");
  return tensor;
}

/// An Error for a tensor without elements. Of one, as many dimensions as a file likes may be huge.
inline Result<void> check_not_empty(ConstTensorView tensor, const std::string& name) {
  if (tensor.shape.elements() != 0) return {};
  return Error(name + ": expected at least one element, found shape " + tensor.shape.to_string());
}

}  // namespace detail

/// The named tensor; an Error if it is missing or holds NaN or infinity.
inline Result<Tensor> load_tensor(const io::Safetensors& file, const std::string& name) {
  return detail::finite(file.tensor(name), name);
}

/// The same, and an Error if its shape is not `expected`.
inline Result<Tensor> load_tensor(const io::Safetensors& file, const std::string& name,
                                  const Shape& expected) {
  return detail::finite(file.tensor(name, expected), name);
}

/// PyTorch's weight order [Cout, Cin, Kh, Kw] to ours, [Cout, Kh, Kw, Cin]; also feature maps [N, C, H, W] to
/// NHWC. Raises unless it has these 4 dimensions.
inline Tensor channels_last(ConstTensorView from) {
  if (from.shape.rank() != 4)
    raise(Error("a tensor " + from.shape.to_string() +
                " has no channels to be put last: 4 dimensions are needed"));
  const std::size_t n = from.shape[0], c = from.shape[1], h = from.shape[2], w = from.shape[3];
  Tensor to({n, h, w, c});
  if (to.span().empty()) return to;  // else n and c may be huge for nothing
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t k = 0; k < c; ++k)
      for (std::size_t p = 0; p < h * w; ++p)
        to[(i * h * w + p) * c + k] = from.data[(i * c + k) * h * w + p];
  return to;
}

/// An Error if what `made` says gave a weight or bias that is not finite.
inline Result<void> check_finite(std::span<const float> weights, std::span<const float> bias,
                                 const std::string& made) {
  for (const auto& values : {weights, bias})
    for (const float x : values)
      if (!std::isfinite(x)) return Error(made + " gives a weight that is not finite");
  return {};
}

/// A convolution's weights `[Cout, Kh, Kw, Cin / groups]` and bias.
struct ConvWeights {
  Tensor weights;
  std::vector<float> bias;
};

/// What a batch normalization learned, each `[Cout]`.
struct BatchNorm {
  Tensor gamma, beta, mean, variance;
};

/// Makes (x - mean) / sqrt(variance + eps) * gamma + beta part of the convolution before it. The names are
/// for the Error if a variance is negative or a weight is not finite any more.
inline Result<void> fold_batch_norm(ConvWeights& conv, const BatchNorm& norm, double eps,
                                    const std::string& name, const std::string& conv_name) {
  const std::size_t cout = conv.bias.size();
  for (const Tensor* of : {&norm.gamma, &norm.beta, &norm.mean, &norm.variance})
    if (of->span().size() != cout)
      return Error(name + ": is of " + std::to_string(of->span().size()) + " channels, the convolution of " +
                   std::to_string(cout));
  const std::size_t depth = cout == 0 ? 0 : conv.weights.shape().elements() / cout;
  for (std::size_t c = 0; c < cout; ++c) {
    if (norm.variance[c] < 0.0f) return Error(name + ".running_var: a variance is negative");
    const double scale = double{norm.gamma[c]} / std::sqrt(double{norm.variance[c]} + eps);
    for (std::size_t k = 0; k < depth; ++k) {
      float& w = conv.weights[c * depth + k];
      w = static_cast<float>(double{w} * scale);
    }
    conv.bias[c] =
        static_cast<float>(double{norm.beta[c]} + (double{conv.bias[c]} - double{norm.mean[c]}) * scale);
  }
  return check_finite(conv.weights.span(), conv.bias, name + ": folding it into " + conv_name);
}

/// Makes a scale for each output, read from the tensor `name`, part of the layer before it.
inline Result<void> fold_scale(std::span<float> weights, std::span<float> bias, const io::Safetensors& file,
                               const std::string& name, const Shape& shape) {
  QCNET_TRY(const Tensor scale, load_tensor(file, name, shape));
  const std::size_t depth = bias.empty() ? 0 : weights.size() / bias.size();
  for (std::size_t c = 0; c < bias.size(); ++c) {
    for (std::size_t k = 0; k < depth; ++k) weights[c * depth + k] *= scale[c];
    bias[c] *= scale[c];
  }
  return check_finite(weights, bias, name + ": folding it into the layer before it");
}

/// Reads `<name>.weight` (`[Cout, Cin / groups, Kh, Kw]`) and `<name>.bias`. A `batch_norm` that is not empty
/// names the normalization behind the convolution, which is folded in (eps 1e-5, PyTorch's default); with it
/// there may be no bias.
inline Result<ConvWeights> load_conv_weights(const io::Safetensors& file, const std::string& name,
                                             const std::string& batch_norm = {}, double eps = 1e-5) {
  QCNET_TRY(Tensor weight, load_tensor(file, name + ".weight"));
  if (weight.shape().rank() != 4)
    return Error(name + ".weight: expected 4 dimensions, found shape " + weight.shape().to_string());
  QCNET_CHECK(detail::check_not_empty(weight, name + ".weight"));
  const std::size_t cout = weight.shape()[0];
  ConvWeights conv{channels_last(weight), std::vector<float>(cout)};
  if (batch_norm.empty() || file.find(name + ".bias") != nullptr) {
    QCNET_TRY(Tensor bias, load_tensor(file, name + ".bias", {cout}));
    std::copy(bias.span().begin(), bias.span().end(), conv.bias.begin());
  }
  if (batch_norm.empty()) return conv;

  BatchNorm norm;
  QCNET_TRY(norm.gamma, load_tensor(file, batch_norm + ".weight", {cout}));
  QCNET_TRY(norm.beta, load_tensor(file, batch_norm + ".bias", {cout}));
  QCNET_TRY(norm.mean, load_tensor(file, batch_norm + ".running_mean", {cout}));
  QCNET_TRY(norm.variance, load_tensor(file, batch_norm + ".running_var", {cout}));
  QCNET_CHECK(fold_batch_norm(conv, norm, eps, batch_norm, name));
  return conv;
}

/// Says which kernel the convolution `name` should have instead of the weights `found`, in PyTorch's order.
/// No Shape is made of it: nobody has checked the product of what is expected.
inline Error wrong_kernel(const std::string& name, const Shape& found, std::size_t inputs,
                          std::size_t kernel_h, std::size_t kernel_w) {
  return Error(name + ".weight: expected shape [" + std::to_string(found[0]) + ", " + std::to_string(inputs) +
               ", " + std::to_string(kernel_h) + ", " + std::to_string(kernel_w) + "], found " +
               Shape{found[0], found[3], found[1], found[2]}.to_string());
}

/// A linear layer's weights `[out, in]` and bias `[out]`.
struct LinearWeights {
  Tensor weights, bias;
};

/// Reads the tensors `weight`, `[outputs, inputs]`, and `bias`, `[outputs]`; 0 outputs: as many as there are,
/// but at least one.
inline Result<LinearWeights> load_linear_weights(const io::Safetensors& file, const std::string& weight,
                                                 const std::string& bias, std::size_t inputs,
                                                 std::size_t outputs = 0) {
  QCNET_TRY(Tensor weights, load_tensor(file, weight));
  const Shape& s = weights.shape();
  if (s.rank() != 2 || s[1] != inputs || (outputs != 0 && s[0] != outputs))
    return Error(weight + ": expected shape [" + (outputs == 0 ? "out" : std::to_string(outputs)) + ", " +
                 std::to_string(inputs) + "], found " + s.to_string());
  QCNET_CHECK(detail::check_not_empty(weights, weight));
  QCNET_TRY(Tensor biases, load_tensor(file, bias, {s[0]}));
  return LinearWeights{std::move(weights), std::move(biases)};
}

/// Whether the file holds a tensor whose name begins so.
inline bool holds_any(const io::Safetensors& file, const std::string& prefix) {
  const auto at = file.tensors().lower_bound(prefix);
  return at != file.tensors().end() && at->first.starts_with(prefix);
}

/// The numbers i of the modules `<prefix><i>.` that the file holds anything of: blocks of a stage, say.
inline std::set<std::size_t> module_numbers(const io::Safetensors& file, const std::string& prefix) {
  std::set<std::size_t> found;
  for (auto at = file.tensors().lower_bound(prefix); at != file.tensors().end(); ++at) {
    const std::string& name = at->first;
    if (!name.starts_with(prefix)) break;
    const std::string number = name.substr(prefix.size(), name.find('.', prefix.size()) - prefix.size());
    if (number.size() < 5 && !number.empty() && number.find_first_not_of("0123456789") == std::string::npos)
      found.insert(static_cast<std::size_t>(std::stoul(number)));
  }
  return found;
}

}  // namespace qcnet::inline QCNET_ABI
