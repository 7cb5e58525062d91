// From several bits a feature back to a feature map.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include <qcnet/bits/code_planes.hpp>
#include <qcnet/split/compensator.hpp>

namespace qcnet::inline QCNET_ABI {

/// Each code becomes its level.
class CodeDequantizer final : public Compensator {
 public:
  explicit CodeDequantizer(CodePlanes codes) : codes_(std::move(codes)) {}

  std::string_view kind() const override { return "dequantizer of codes"; }
  void reconstruct_into(ConstBitplaneView bits, TensorView map) override { codes_.decode_into(bits, map); }
  void reconstruct_into(ConstBitplaneView bits, ConstBitplaneView received, TensorView map) override {
    codes_.decode_into(bits, received, map);
  }
  std::uint64_t multiply_adds() const override { return 0; }

 private:
  CodePlanes codes_;
};

}  // namespace qcnet::inline QCNET_ABI
