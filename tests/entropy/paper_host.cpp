// Runs the kernels of the paper's design on the host: a thread a thread, with a barrier for each block.

#include <barrier>
#include <cmath>
#include <thread>
#include <vector>

#define __global__
#define __device__ static
#define __shared__ static

static struct {
  unsigned x;
} blockIdx;
static thread_local struct {
  unsigned x;
} threadIdx;
static std::barrier meeting(256);

static void __syncthreads() { meeting.arrive_and_wait(); }
static void atomicAdd(float *sum, float value) { std::atomic_ref<float>(*sum).fetch_add(value); }

#include "paper_entropy.cu"

template <class Kernel> static void launch(unsigned blocks, Kernel kernel) {
  for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++) {
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < 256; i++)
      threads.emplace_back([i, &kernel] {
        threadIdx.x = i;
        kernel();
      });
    for (std::thread &thread : threads) thread.join();
  }
}

extern "C" void run_forward(unsigned blocks, const float *regions, float *entropy, int values, float bandwidth) {
  launch(blocks, [&] { paper_forward(regions, entropy, values, bandwidth); });
}
extern "C" void run_backward(unsigned blocks, const float *regions, const float *grad, float *result, int values,
                             float bandwidth) {
  launch(blocks, [&] { paper_backward(regions, grad, result, values, bandwidth); });
}
