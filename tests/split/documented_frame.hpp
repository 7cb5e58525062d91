// The frame that the documentation shows.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>

#include <qcnet/split/frame.hpp>

/// The first test vector of docs/frame.md, made by hand; docs/packets.md shows its packets.
inline qcnet::Frame documented_frame() {
  const qcnet::MapSpec maps[] = {{"layer2", {1, 2, 2, 9}}};
  qcnet::Frame frame = qcnet::Frame::make(0x0123456789ABCDEF, maps).value();
  const std::uint8_t bits[] = {0x01, 0x00, 0x00, 0x01, 0xFF, 0x01, 0x00, 0x00};
  std::copy(std::begin(bits), std::end(bits), frame.bits(0).data);
  frame.seal(1, {640, 480});
  return frame;
}
