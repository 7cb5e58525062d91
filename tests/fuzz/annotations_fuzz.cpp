// Any text as VOC's XML and as YOLO's lines: an Error, or boxes of finite numbers and known classes.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include <common/annotations.hpp>

namespace {

void check(const qcnet::vision::Box& box) {
  for (const float edge : {box.x0, box.y0, box.x1, box.y1})
    if (!std::isfinite(edge)) std::abort();
  if (box.x0 > box.x1 || box.y0 > box.y1) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto voc = examples::parse_voc(text); voc.ok())
    for (const examples::VocObject& object : *voc) {
      if (object.name.empty()) std::abort();
      check(object.box);
    }
  if (const auto yolo = examples::parse_yolo(text, 3, 480, 640); yolo.ok())
    for (const qcnet::vision::GroundTruth& truth : *yolo) {
      if (truth.label >= 3) std::abort();
      check(truth.box);
    }
  return 0;
}
