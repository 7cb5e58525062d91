// Version of the library and the namespace it lives in.
#pragma once

#include <qcnet/simd/isa.hpp>

#define QCNET_VERSION_MAJOR 0
#define QCNET_VERSION_MINOR 1
#define QCNET_VERSION_PATCH 0
