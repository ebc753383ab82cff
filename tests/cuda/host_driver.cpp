// A CUDA driver without a GPU: as much of libcuda.so.1 as launch.py asks for. Its modules are shared libraries with
// simulated kernels (host_main.cpp), "loaded" from their paths; launches run at once. Misuse is refused with the
// errors that the driver gives.

#include <dlfcn.h>

#include <cstdint>
#include <string>
#include <vector>

enum { SUCCESS = 0, INVALID_VALUE = 1, INVALID_IMAGE = 200, INVALID_CONTEXT = 201, NOT_FOUND = 500 };

static std::vector<long> contexts = {-1};  // the stack of this thread; the process begins in some other context
static std::vector<long> streams;          // of the launches, in order
using Kernel = void (*)(unsigned, void **);

extern "C" {
int cuDeviceGet(int *device, int ordinal) {
  *device = ordinal;
  return SUCCESS;
}
int cuDevicePrimaryCtxRetain(long *context, int device) {
  *context = 2000 + device;  // PyTorch counts CPU tensors as on device -1
  return SUCCESS;
}
int cuCtxPushCurrent(long context) {
  contexts.push_back(context);
  return SUCCESS;
}
int cuCtxPopCurrent(long *context) {
  if (contexts.size() < 2) return INVALID_CONTEXT;
  *context = contexts.back();
  contexts.pop_back();
  return SUCCESS;
}
int cuModuleLoadData(void **module, const char *path) {
  if (contexts.back() < 1000) return INVALID_CONTEXT;
  *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  return *module ? SUCCESS : INVALID_IMAGE;
}
int cuModuleGetFunction(void **function, void *module, const char *name) {
  *function = dlsym(module, ("run_" + std::string(name)).c_str());
  return *function ? SUCCESS : NOT_FOUND;
}
int cuLaunchKernel(void *function, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned ty, unsigned tz,
                   unsigned shared, long stream, void **arguments, void **extra) {
  if (contexts.back() < 1000) return INVALID_CONTEXT;
  if (x < 1 || x > 0x7fffffff || y != 1 || z != 1 || threads != 128 || ty != 1 || tz != 1 || shared || extra)
    return INVALID_VALUE;
  streams.push_back(stream);
  reinterpret_cast<Kernel>(function)(x, arguments);
  return SUCCESS;
}
int cuGetProcAddress_v2(const char *name, void **function, int, uint64_t, int *) {
  *function = dlsym(RTLD_DEFAULT, name);
  return *function ? SUCCESS : NOT_FOUND;
}

// For the tests: how deep the stack of contexts is, and the stream of the n-th launch, or -1.
int played_depth() { return int(contexts.size()); }
long played_stream(unsigned n) { return n < streams.size() ? streams[n] : -1; }
}
