// Counts heap allocations, for tests that prove that something makes none.
#pragma once

#include <cstddef>

/// Calls of any operator new in this program so far, on all threads.
std::size_t allocations();
