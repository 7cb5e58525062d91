// All that a node needs: pictures to frames. Reading picture files (stb_image) is in vision/read_image.hpp.
#pragma once

#include <qcnet/models/model.hpp>
#include <qcnet/split/node.hpp>
#include <qcnet/split/packets.hpp>
