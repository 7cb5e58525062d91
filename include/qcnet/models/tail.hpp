// Whether the layers of a server's file begin where its cut ends.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <qcnet/core/result.hpp>
#include <qcnet/io/numbers.hpp>
#include <qcnet/io/safetensors.hpp>

namespace qcnet::inline QCNET_ABI::models::detail {

/// Where layers are in numbered stages of numbered blocks.
struct Place {
  std::size_t stage, block;
};

/// Whether what begins at `place` comes next behind the cut `<prefix><stage>` or `<prefix><stage>.<block>`;
/// of other cuts, which are before all stages, whether it is the first block of stage `first_stage`.
inline bool is_next(const Place& place, std::string_view cut, std::string_view prefix,
                    std::size_t first_stage) {
  if (!cut.starts_with(prefix)) return place.stage == first_stage && place.block == 0;
  const auto number = [&cut](std::size_t begin) {
    const std::string_view text = cut.substr(begin);
    return io::parse_number<std::size_t>(text.substr(0, text.find('.')));
  };
  const auto stage = number(prefix.size());
  if (!stage) return false;
  if (place.stage == *stage + 1) return place.block == 0;
  const std::size_t dot = cut.find('.', prefix.size());
  if (place.stage != *stage || dot == cut.npos) return false;
  const auto block = number(dot + 1);
  return block && place.block == *block + 1;
}

/// Error: the file is a server's, and its first layers, `name` at `place`, are not those behind its cut, as
/// above: some are missing, or some of the node's are there, too.
inline Result<void> check_begins_behind_cut(const io::Safetensors& file, const std::string& name,
                                            const Place& place, std::string_view prefix,
                                            std::size_t first_stage) {
  const auto cut = file.metadata("qcnet.cut");
  if (file.metadata("qcnet.role") != "server" || !cut || is_next(place, *cut, prefix, first_stage)) return {};
  return Error(name + ": is not what comes next behind the cut \"" + io::detail::printable(*cut) +
               "\"; a server's file holds all the layers behind its cut, and none before");
}

}  // namespace qcnet::inline QCNET_ABI::models::detail
