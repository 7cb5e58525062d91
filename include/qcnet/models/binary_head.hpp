// A head that computes in bits: the layers between the first and the cut are binary.
#pragma once

#include <cstddef>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <qcnet/io/numbers.hpp>
#include <qcnet/io/safetensors.hpp>
#include <qcnet/layers/binary_conv2d.hpp>
#include <qcnet/layers/concat.hpp>
#include <qcnet/layers/conv2d.hpp>
#include <qcnet/layers/network.hpp>
#include <qcnet/layers/pixels.hpp>
#include <qcnet/layers/pool.hpp>
#include <qcnet/models/patches.hpp>

namespace qcnet::inline QCNET_ABI::models {

namespace detail {

class BinaryHeadBuilder {
 public:
  explicit BinaryHeadBuilder(const io::Safetensors& file) : file_(file) {}

  Result<Network> build() {
    const std::set<std::size_t> layers = module_numbers(file_, "binary.layers.");
    const std::size_t count = layers.empty() ? 0 : *layers.rbegin() + 1;
    QCNET_TRY(const auto strides, read_strides(1 + count));
    QCNET_CHECK(stem(strides[0]));
    for (std::size_t i = 0; i < count; ++i)
      QCNET_CHECK(layer("binary.layers." + std::to_string(i), strides[1 + i]));
    const auto cut = file_.metadata("qcnet.cut");
    if (!cut) return Error("metadata \"qcnet.cut\" is missing: a binary head ends at a cut");
    network_.name_cut(io::detail::printable(*cut), network_.output());
    return std::move(network_);
  }

 private:
  Result<std::vector<std::size_t>> read_strides(std::size_t count) const {
    const std::string key = "qcnet.binary.strides";
    const auto text = file_.metadata(key);
    auto strides = io::parse_numbers<std::size_t>(text.value_or(""));
    bool good = strides && strides->size() == count;
    for (std::size_t i = 0; good && i < count; ++i) good = (*strides)[i] == 1 || (*strides)[i] == 2;
    if (!good)
      return Error("metadata \"" + key + "\" must be " + std::to_string(count) +
                   " numbers 1 or 2, the strides of the stem and of each layer, found \"" +
                   io::detail::printable(text.value_or("")) + "\"");
    return *std::move(strides);
  }

  Result<void> stem(std::size_t stride) {
    QCNET_TRY(auto pixels, Pixels::load(file_, "binary.input"));
    const std::size_t inputs = pixels->channels();
    network_.add("binary.input", std::move(pixels), {Network::input});
    QCNET_TRY(const ConvWeights weights, load_conv_weights(file_, "binary.stem"));
    QCNET_TRY(auto conv, Conv2d::make(weights, "binary.stem", ConvGeometry::square(3, stride, 1), inputs,
                                      Activation::none));
    channels_ = conv->output_channels();
    network_.add("binary.stem", std::move(conv), {network_.output()});
    return {};
  }

  Result<void> layer(const std::string& name, std::size_t stride) {
    QCNET_TRY(auto conv, BinaryConv2d::load(file_, name, stride, channels_));
    const std::size_t outputs = conv->output_channels();
    std::vector<Network::Value> inputs = {network_.output()};
    // The shortcut of Bi-Real Net, without weights: what it cannot reach has none.
    if (stride == 1 && outputs == channels_) inputs.push_back(network_.output());
    if (stride == 2 && (outputs == channels_ || outputs == 2 * channels_)) {
      const auto pool = std::make_shared<const MaxPool>(ConvGeometry::square(2, 2));
      inputs.push_back(network_.add(name + ".shortcut", pool, {network_.output()}));
      if (outputs != channels_)
        inputs.back() = network_.add(name + ".shortcut.twice", std::make_shared<const ConcatChannels>(),
                                     {inputs.back(), inputs.back()});
    }
    network_.add(name, std::move(conv), std::move(inputs));
    channels_ = outputs;
    return {};
  }

  const io::Safetensors& file_;
  std::size_t channels_ = 0;  // of the value added last
  Network network_;
};

}  // namespace detail

/// A binary head (after Bi-Real Net, Liu et al., 2018) in place of a base model's float head, as
/// `weights/binarize.py` trains one and docs/deployment.md describes its tensors, `binary.*`. Input
/// `[N, H, W, C]`, normalized; output the map at the file's cut, which is the one cut point there is. Every
/// value is exact in fp32, so that bits do not depend on the machine. Error: what is missing or does not fit,
/// by name.
inline Result<Network> binary_head(const io::Safetensors& weights) {
  QCNET_CHECK(patch_of_head(weights, false));
  return detail::BinaryHeadBuilder(weights).build();
}

}  // namespace qcnet::inline QCNET_ABI::models
