// Which of Highway's targets are compiled: include before any header of Highway. SSSE3 is left out
// (x86 without SSE 4.2 takes the scalar code), and so are vectors whose length is not known at
// compile time.
#pragma once

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
