// As much of the CUDA driver as cuda-core asks for to load a cubin and launch its kernels, which run
// on the emulator. It shows that names, grids, streams and arguments arrive as they should.
#include "emulator.cpp"

#include <stdint.h>

// Kernels that don't run leave the host's own time to be measured.
#ifndef RUNS
#define RUNS true
#endif

extern "C" {
// Of the last launch.
void* last_stream = nullptr;

static int cuInit(unsigned) { return 0; }

static int cuDriverGetVersion(int* version) {
    *version = 13000;
    return 0;
}

static int cuDeviceGet(int* device, int ordinal) {
    *device = ordinal;
    return 0;
}

static int cuCtxGetCurrent(void** context) {
    *context = &last_stream;
    return 0;
}

static int cuCtxGetDevice(int* device) {
    *device = 0;
    return 0;
}

static int cuLibraryLoadData(void** library, const void* code, void*, void*, unsigned, void*,
                             void*, unsigned) {
    *library = &last_stream;
    return memcmp(code, "\x7f" "ELF", 4) == 0 ? 0 : 200;
}

static int cuLibraryUnload(void*) { return 0; }

static int cuLibraryGetKernel(void** kernel, void*, const char* name) {
    *kernel = strdup(name);
    return 0;
}

static int cuLaunchKernel(void* kernel, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                          unsigned block_x, unsigned block_y, unsigned block_z, unsigned,
                          void* stream, void** arguments, void**) {
    last_stream = stream;
    const bool flat = grid_z == 1 && block_y == 1 && block_z == 1;
    const char* name = static_cast<const char*>(kernel);
    return !RUNS || (flat && launch(name, grid_x, grid_y, block_x, arguments) == 0) ? 0 : 1;
}

static int cuGetErrorName(int, const char** text) {
    *text = "an error of the driver in tests";
    return 0;
}

int cuGetProcAddress_v2(const char* name, void** address, int, uint64_t, int* status) {
    *address = nullptr;
#define FUNCTION(function)                            \
    if (strcmp(name, #function) == 0) {               \
        *address = reinterpret_cast<void*>(function); \
    }
    FUNCTION(cuInit)
    FUNCTION(cuDriverGetVersion)
    FUNCTION(cuDeviceGet)
    FUNCTION(cuCtxGetCurrent)
    FUNCTION(cuCtxGetDevice)
    FUNCTION(cuLibraryLoadData)
    FUNCTION(cuLibraryUnload)
    FUNCTION(cuLibraryGetKernel)
    FUNCTION(cuLaunchKernel)
    FUNCTION(cuGetErrorName)
    if (strcmp(name, "cuGetErrorString") == 0) {
        *address = reinterpret_cast<void*>(cuGetErrorName);
    }
#undef FUNCTION
    if (status != nullptr) {
        *status = *address == nullptr ? 1 : 0;
    }
    return *address == nullptr ? 500 : 0;
}
}
