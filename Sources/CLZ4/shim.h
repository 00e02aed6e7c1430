/// The parts of the system's liblz4 that Swift uses.
#ifndef VHDTOOLS_CLZ4_SHIM_H
#define VHDTOOLS_CLZ4_SHIM_H

#include <lz4.h>

#endif
