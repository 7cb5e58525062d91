// YOLOv3-Tiny as Darknet builds it (Redmon & Farhadi, "YOLOv3: An Incremental Improvement", 2018).
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <qcnet/io/safetensors.hpp>
#include <qcnet/layers/concat.hpp>
#include <qcnet/layers/conv2d.hpp>
#include <qcnet/layers/executor.hpp>
#include <qcnet/layers/pool.hpp>
#include <qcnet/layers/upsample.hpp>
#include <qcnet/models/patches.hpp>

namespace qcnet::inline QCNET_ABI::models {

namespace detail {

/// Builds the layers of yolov3-tiny.cfg from `first` to `last`, by the cfg's numbers: all, or up to a cut or
/// behind one. 16, 17 and 23 compute nothing here: they decode boxes, and go back to 13.
class YoloV3TinyBuilder {
 public:
  static constexpr std::size_t layers = 24;
  /// Behind it, later layers need more than the running map and layer 8's.
  static constexpr std::size_t last_cut = 13;
  /// What a cut before a layer's activation is named by behind the layer's own name.
  static constexpr std::string_view batch_norm = ".bn";

  /// Reads the convolution of a layer, its batch normalization (if asked for) folded in.
  using ReadWeights = std::function<Result<ConvWeights>(std::size_t layer, bool batch_norm)>;

  explicit YoloV3TinyBuilder(ReadWeights read) : read_(std::move(read)) {}

  /// `activated` false: what comes in has not seen the activation of the layer before `first`. `patch`: the
  /// convolution of layer `last` is one over patches of so many pixels squared.
  Result<Network> build(std::size_t first = 0, std::size_t last = layers - 1, bool activated = true,
                        std::size_t patch = 1) {
    // Behind layer 8 its map comes in beside the running one, as layer 20 reads both.
    network_ = Network(first > 9 ? 2 : 1);
    if (first > 0) values_[first - 1] = Network::input;
    if (first > 9) values_[8] = 1;
    channels_.resize(network_.inputs());
    if (!activated) {
      add(first - 1, std::make_shared<const Activate>(Activation::leaky_relu), {Network::input}, 0);
      network_.name_cut(name(first - 1), network_.output());
    }
    for (std::size_t i = first; i <= std::min(last, last_cut); ++i) {
      QCNET_CHECK(i % 2 == 1 && i != 13 ? pool(i) : convolution(i, i - 1, i == last ? patch : 1));
      if (is_cut_before_activation(i)) network_.name_cut_before_activation(name(i) + std::string(batch_norm));
      network_.name_cut(name(i), values_[i], i > 8 ? std::vector{values_[8]} : std::vector<Network::Value>());
    }
    if (last <= last_cut) return std::move(network_);

    QCNET_CHECK(convolution(14, 13));
    QCNET_CHECK(convolution(15, 14));
    QCNET_CHECK(convolution(18, 13));
    add(19, std::make_shared<const UpsampleBy2>(), {values_[18]}, channels_[values_[18]]);
    const std::size_t a = channels_[values_[19]], b = channels_[values_[8]];
    add(20, std::make_shared<const ConcatChannels>(), {values_[19], values_[8]}, b == 0 ? 0 : a + b);
    QCNET_CHECK(convolution(21, 20));
    QCNET_CHECK(convolution(22, 21));
    network_.set_outputs({values_[15], values_[22]});
    return std::move(network_);
  }

  static std::string name(std::size_t layer) { return "layers." + std::to_string(layer); }
  static bool is_detection(std::size_t layer) { return layer == 15 || layer == 22; }
  static bool is_cut_before_activation(std::size_t layer) { return layer <= 8 && layer % 2 == 0; }
  static std::size_t kernel(std::size_t layer) {
    return layer == 13 || layer == 18 || is_detection(layer) ? 1 : 3;
  }

 private:
  Result<void> convolution(std::size_t layer, std::size_t from, std::size_t patch = 1) {
    const bool detection = is_detection(layer);
    const std::string conv_name = name(layer) + ".conv";
    QCNET_TRY(const ConvWeights weights, read_(layer, !detection));
    const std::size_t size = kernel(layer);
    const ConvGeometry geometry = ConvGeometry::square(size, 1, size / 2).of_patches(patch);
    // What enters a tail is known from the first weight that meets it.
    const Network::Value input = layer == 0 ? Network::input : values_[from];
    const std::size_t channels = channels_[input] != 0 ? channels_[input] : weights.weights.shape()[3];
    QCNET_TRY(auto conv, Conv2d::make(weights, conv_name, geometry, channels,
                                      detection ? Activation::none : Activation::leaky_relu));
    const std::size_t outputs = conv->output_channels();
    add(layer, std::move(conv), {input}, outputs);
    return {};
  }

  Result<void> pool(std::size_t layer) {
    const Network::Value input = values_[layer - 1];
    add(layer, std::make_shared<const MaxPool>(ConvGeometry::darknet_pool(2, layer == 11 ? 1 : 2)), {input},
        channels_[input]);
    return {};
  }

  void add(std::size_t layer, std::shared_ptr<const Layer> step, std::vector<Network::Value> inputs,
           std::size_t channels) {
    values_[layer] = network_.add(name(layer), std::move(step), std::move(inputs));
    channels_.push_back(channels);
  }

  ReadWeights read_;
  Network network_;
  std::array<Network::Value, layers> values_{};  // of each layer's output
  std::vector<std::size_t> channels_;            // of each value; 0 where nothing has told them yet
};

/// Behind a layer, or behind its convolution and before its activation.
struct YoloV3TinyCut {
  std::size_t layer = 0;
  bool activated = true;
};

/// The cut that a file's metadata names.
inline Result<YoloV3TinyCut> yolov3_tiny_cut(const io::Safetensors& file) {
  using Builder = YoloV3TinyBuilder;
  const std::string_view cut = file.metadata("qcnet.cut").value_or("");
  const std::string_view prefix = "layers.";
  std::size_t layer = 0;
  const char* const end = cut.data() + cut.size();
  if (cut.starts_with(prefix)) {
    const auto [next, status] = std::from_chars(cut.data() + prefix.size(), end, layer);
    const std::string_view rest(next, static_cast<std::size_t>(end - next));
    if (status == std::errc{} && rest.empty() && layer <= Builder::last_cut)
      return YoloV3TinyCut{layer, true};
    if (status == std::errc{} && rest == Builder::batch_norm && Builder::is_cut_before_activation(layer))
      return YoloV3TinyCut{layer, false};
  }
  return Error("there is no cut point \"" + io::detail::printable(cut) +
               "\"; YOLOv3-Tiny has layers.0 to layers." + std::to_string(Builder::last_cut) +
               ", and before an activation layers.0.bn, .2.bn, .4.bn, .6.bn and .8.bn");
}

}  // namespace detail

/// A YOLOv3-Tiny of any width, for any number of classes, from tensors named by the layers of Darknet's
/// yolov3-tiny.cfg: `layers.<i>.conv.weight` with `layers.<i>.bn.*` (eps 1e-5), for the detecting layers 15
/// and 22 `layers.<i>.conv.bias`. Input `[N, H, W, C]`, height and width multiples of 32. Outputs, raw:
/// `[N, H/32, W/32, A (5 + K)]` of layer 15 and `[N, H/16, W/16, A (5 + K)]` of layer 22, channels anchor by
/// anchor and each x, y, w, h, objectness, classes.
///
/// Cut points: `layers.0` to `layers.13`, and before their activations `layers.0.bn`, `.2.bn`, ... `.8.bn`;
/// behind layer 8 its map crosses beside the cut's own. A deployment's node or server file, which holds only
/// the layers up to a cut or behind it, gives that part. Error: what is missing or does not fit, by tensor
/// name.
inline Result<Network> yolov3_tiny(const io::Safetensors& weights) {
  detail::YoloV3TinyBuilder builder([&](std::size_t layer, bool batch_norm) {
    const std::string name = detail::YoloV3TinyBuilder::name(layer);
    return load_conv_weights(weights, name + ".conv", batch_norm ? name + ".bn" : std::string());
  });
  const auto role = weights.metadata("qcnet.role");
  if (role != "node" && role != "server") return builder.build();
  QCNET_TRY(const detail::YoloV3TinyCut cut, detail::yolov3_tiny_cut(weights));
  QCNET_TRY(const std::size_t patch, patch_of_head(weights, !cut.activated));
  return role == "node" ? builder.build(0, cut.layer, true, patch)
                        : builder.build(cut.layer + 1, detail::YoloV3TinyBuilder::layers - 1, cut.activated);
}

}  // namespace qcnet::inline QCNET_ABI::models
