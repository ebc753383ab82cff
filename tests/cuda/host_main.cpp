// Runs the kernels block by block and warp by warp; see host_lanes.cuh, which is included as lanes.cuh.

#include "entropy.cu"

template <class Kernel> static void launch(unsigned blocks, Kernel kernel) {
  for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++)
    for (threadIdx.x = 0; threadIdx.x < 32 * WARPS; threadIdx.x += 32) kernel();
}

extern "C" void run_hard_entropy(unsigned blocks, const Value *images, float *entropy, long long count, int height,
                                 int width, int across, int down) {
  launch(blocks, [&] { hard_entropy(images, entropy, count, height, width, across, down); });
}

extern "C" void run_soft_entropy(unsigned blocks, const Value *images, float *entropy, long long count, int height,
                                 int width, int across, int down, float steepness, int rebase, int reach) {
  launch(blocks, [&] { soft_entropy(images, entropy, count, height, width, across, down, steepness, rebase, reach); });
}

extern "C" void run_soft_entropy_backward(unsigned blocks, const Value *images, const float *grad, float *result,
                                          long long count, int height, int width, int across, int down,
                                          float steepness, int rebase, int reach, float scale) {
  launch(blocks, [&] {
    soft_entropy_backward(images, grad, result, count, height, width, across, down, steepness, rebase, reach, scale);
  });
}

// Where the strip of a warp begins: the offset of its image in the values and its first row and column.
extern "C" long long strip_of(unsigned block, unsigned warp, long long count, int height, int width, int across,
                              int down, int *corner) {
  blockIdx.x = block;
  threadIdx.x = 32 * warp;
  const Place at = place(count, across, down, FORWARD_ROWS, FORWARD_COLUMNS);
  corner[0] = at.top;
  corner[1] = at.left;
  return at.exists ? pixels(at, {height, width}) : -1;
}
