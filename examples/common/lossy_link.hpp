// A link that loses packets, to see what becomes of the answers.
#pragma once

#include <cstddef>
#include <random>
#include <utility>

#include <qcnet/qcnet.hpp>

namespace examples {

/// It loses each packet with the same probability, by itself; always the same ones. One that loses none takes
/// frames in a packet each, up to what packets can carry.
class LossyLink {
 public:
  static qcnet::Result<LossyLink> open(const qcnet::Frame& frame, const qcnet::Deployment& about, double loss,
                                       std::size_t mtu) {
    const std::size_t whole = qcnet::packets::overhead + frame.all_bits().size();
    QCNET_TRY(auto packets, qcnet::Packetizer::make(frame, loss > 0 ? mtu : whole));
    QCNET_TRY(auto assembler, qcnet::PacketAssembler::make(about.hash, about.frame_maps()));
    return LossyLink(std::move(packets), std::move(assembler), loss);
  }

  /// What arrives of a frame, perhaps nothing; valid until the next call.
  qcnet::Result<const qcnet::PartialFrame*> send(const qcnet::Frame& frame) {
    bytes_ = 0;
    for (std::size_t i = 0; i < packets_.count(); ++i) {
      const auto packet = packets_.cut(frame, i);
      bytes_ += packet.size();
      // Not std::bernoulli_distribution, which libraries implement differently.
      if (static_cast<double>(random_()) >= loss_ * 0x1p32) QCNET_CHECK(assembler_.add(packet));
    }
    return &assembler_.finish();
  }

  double loss() const { return loss_; }
  std::size_t packets() const { return packets_.count(); }
  /// Of a frame's packets, lost ones too.
  std::size_t bytes() const { return bytes_; }

 private:
  LossyLink(qcnet::Packetizer packets, qcnet::PacketAssembler assembler, double loss)
      : packets_(std::move(packets)), assembler_(std::move(assembler)), loss_(loss) {}

  qcnet::Packetizer packets_;
  qcnet::PacketAssembler assembler_;
  double loss_;
  std::mt19937 random_{1};
  std::size_t bytes_ = 0;
};

}  // namespace examples
