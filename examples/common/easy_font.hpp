// The only include of stb_easy_font, a public-domain font whose letters are made of rectangles.
#pragma once

#if defined(__GNUC__)
#pragma GCC system_header  // silences its warnings however it is found
#endif

#include <stb/stb_easy_font.h>
