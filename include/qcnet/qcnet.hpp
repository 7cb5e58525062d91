// The whole library.
#pragma once

#include <qcnet/kernels/activation.hpp>
#include <qcnet/node.hpp>
#include <qcnet/server.hpp>
#include <qcnet/vision/read_image.hpp>
