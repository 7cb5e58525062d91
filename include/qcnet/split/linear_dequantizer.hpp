// From bits to a feature map in another basis: every channel from all the bits of its pixel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <qcnet/bits/lookup_conv.hpp>
#include <qcnet/kernels/activation.hpp>
#include <qcnet/layers/weights.hpp>
#include <qcnet/split/compensator.hpp>

namespace qcnet::inline QCNET_ABI {

/// A linear function of each pixel's bits:
///
///     map = bias + weight (2 bits - 1)
///
/// Levels are the case where each channel has one bit for itself. Where the node's channels are principal
/// components, of which some have several bits and some none, the weights also lead back from their basis to
/// that of the map. Products are sums looked up by the bits.
class LinearDequantizer final : public Compensator {
 public:
  /// Whether the file holds one, or a part of one; `suffix` as for `load`.
  static bool is_in(const io::Safetensors& file, const std::string& suffix = {}) {
    return file.find(weight_name(suffix)) != nullptr || file.find(bias_name(suffix)) != nullptr;
  }

  /// Reads `qcnet.dequantizer.weight` [C, P, 1, 1], or [C, P] for tokens, and `.bias` [C], for tokens perhaps
  /// [T, C]: from bits of shape `sent` `[1, ..., P]` to a map of shape `map` `[1, ..., C]`. `suffix` is that
  /// of a map beside the cut's own: `qcnet.dequantizer.layers.8.weight`.
  static Result<std::unique_ptr<Compensator>> load(const io::Safetensors& file, const Shape& map,
                                                   const Shape& sent, const std::string& suffix = {}) {
    const std::size_t inputs = sent.channels(), outputs = map.channels();
    const bool tokens = map.rank() == 3, by_token = detail::by_token(file, bias_name(suffix), map, 2);
    QCNET_TRY(const Shape stored,
              tokens ? Shape::make({outputs, inputs}) : Shape::make({outputs, inputs, 1, 1}));
    QCNET_TRY(const Tensor weight, load_tensor(file, weight_name(suffix), stored));
    QCNET_TRY(Tensor bias,
              load_tensor(file, bias_name(suffix), by_token ? Shape{map[1], outputs} : Shape{outputs}));
    QCNET_TRY(LookupConv2d sums, LookupConv2d::make(ConstTensorView(weight.data(), {outputs, 1, 1, inputs}),
                                                    by_token ? std::span<const float>() : bias.span(),
                                                    ConvGeometry::square(1), false));
    return std::unique_ptr<Compensator>(
        new LinearDequantizer(std::move(sums), by_token ? std::move(bias) : Tensor(), map));
  }

  std::string_view kind() const override { return "linear dequantizer"; }

  void reconstruct_into(ConstBitplaneView bits, TensorView map) override {
    sums_.forward_into(as_image(bits), as_image(map));
    add_bias_of_tokens(map);
  }

  void reconstruct_into(ConstBitplaneView bits, ConstBitplaneView received, TensorView map) override {
    sums_.forward_into(as_image(bits), as_image(received), as_image(map));
    add_bias_of_tokens(map);
  }

  std::uint64_t multiply_adds() const override { return sums_.multiply_adds(map_); }

 private:
  LinearDequantizer(LookupConv2d sums, Tensor bias_of_tokens, const Shape& map)
      : sums_(std::move(sums)), bias_of_tokens_(std::move(bias_of_tokens)), map_(map) {}

  static std::string weight_name(const std::string& suffix) {
    return "qcnet.dequantizer" + suffix + ".weight";
  }
  static std::string bias_name(const std::string& suffix) { return "qcnet.dequantizer" + suffix + ".bias"; }

  void add_bias_of_tokens(TensorView map) const {
    if (!bias_of_tokens_.span().empty()) kernels::add(map, bias_of_tokens_, map);
  }

  LookupConv2d sums_;
  Tensor bias_of_tokens_;  // [T, C], or empty: one for all is in the sums
  Shape map_;
};

/// What the file says a map's bits stand for, without a QCNet: the linear function of all of them, or else
/// levels of one bit a feature. Parameters as for LinearDequantizer::load.
inline Result<std::unique_ptr<Compensator>> load_dequantizer(const io::Safetensors& file, const Shape& map,
                                                             const Shape& sent,
                                                             const std::string& suffix = {}) {
  if (LinearDequantizer::is_in(file, suffix)) return LinearDequantizer::load(file, map, sent, suffix);
  QCNET_TRY(Quantizer levels, load_lloyd_max(file, map, suffix));
  return std::unique_ptr<Compensator>(std::make_unique<Dequantizer>(std::move(levels)));
}

}  // namespace qcnet::inline QCNET_ABI
