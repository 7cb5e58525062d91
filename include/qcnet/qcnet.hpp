// The whole library.
#pragma once

#include <qcnet/kernels/activation.hpp>
#include <qcnet/models/yolov3_tiny_darknet.hpp>
#include <qcnet/node.hpp>
#include <qcnet/server.hpp>
#include <qcnet/vision/boxes.hpp>
#include <qcnet/vision/mean_average_precision.hpp>
#include <qcnet/vision/read_image.hpp>
