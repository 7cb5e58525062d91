// What it takes to send bytes over a radio.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

namespace examples {

/// A link from a node to its server, as seen by what is sent: bytes that each take the same time and energy.
struct Link {
  std::string_view key = {}, name = {};
  std::optional<double> transmit_watts = {};  ///< for people: energy is counted by bytes
  double bits_per_second = 0;                 ///< of payload, with all waiting in between
  double joules_per_byte = 0;                 ///< what the radio draws for that
  std::size_t packet_bytes = 1;               ///< payload of a packet, which is always sent whole
  double latency_ms = 0;                      ///< of every message, beside the time for its bytes
  double session_joules = 0;                  ///< of every message, beside the energy for its bytes

  struct Cost {
    double bytes = 0, packets = 0, ms = 0, millijoules = 0;
  };

  /// For messages of these sizes, each sent by itself: means.
  Cost cost(std::span<const std::size_t> messages) const {
    if (messages.empty()) return {};
    double bytes = 0, packets = 0;
    for (const std::size_t message : messages) {
      bytes += static_cast<double>(message);
      packets += static_cast<double>(message / packet_bytes + (message % packet_bytes == 0 ? 0 : 1));
    }
    const auto count = static_cast<double>(messages.size());
    const double sent = packets / count * static_cast<double>(packet_bytes);
    return {bytes / count, packets / count, latency_ms + 8e3 * sent / bits_per_second,
            1e3 * (session_joules + joules_per_byte * sent)};
  }
};

/// Constants of a public model of IoT radios (in layers, after Krug and O'Nils, IEEE Access 7:58654, 2019),
/// recomputed. NB-IoT's and LoRa's energy is below transmit power times time: in part of it they wait. What
/// NB-IoT and LTE draw while they stay connected after a message is not in it.
inline constexpr Link known_links[] = {{"ble", "BLE 2M", 0.024, 1.2e6, 0.15e-6},
                                       {"nb-iot", "NB-IoT", 0.543, 33.5e3, 32e-6},
                                       {"lora", "LoRa SF12, 500 kHz", 0.42, 620, 3.4e-3, 222},
                                       {"lte", "LTE Cat-4", 2.318, 51e6, 0.36e-6}};

}  // namespace examples
