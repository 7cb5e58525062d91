// A frame of which perhaps not every bit arrived.
#pragma once

#include <qcnet/split/frame.hpp>

namespace qcnet::inline QCNET_ABI {

/// What came of a frame that was sent in packets.
struct PartialFrame {
  Frame frame;     ///< bits that did not arrive are 0
  Frame received;  ///< of the same maps: 1 for each bit that did
};

}  // namespace qcnet::inline QCNET_ABI
