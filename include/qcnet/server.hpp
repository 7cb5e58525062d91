// All that a server needs: frames to answers.
#pragma once

#include <qcnet/split/replay_guard.hpp>
#include <qcnet/split/server.hpp>
