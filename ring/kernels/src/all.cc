// One instruction set (RING_ISA) of all kernels. Nothing of the C++ library is used here: an inline function of it compiled
// for one instruction set could be linked into the code of another.
#include "elementwise.h"
#include "field.h"
#include "fixed.h"
#include "fourier.h"
#include "fused.h"
#include "matmul.h"
#include "peak.h"
#include "stream.h"
#include "wire.h"
