// Runs the kernels block by block and warp by warp; see host_lanes.cuh, which is included as lanes.cuh.

#include <utility>

#include "entropy.cu"

// As the driver does it: arguments are given by their addresses and read as what the kernel declares them to be.
template <class... Types, std::size_t... I>
static void launch(void (*kernel)(Types...), unsigned blocks, void **arguments, std::index_sequence<I...>) {
  for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++)
    for (threadIdx.x = 0; threadIdx.x < 32 * WARPS; threadIdx.x += 32) kernel(*static_cast<Types *>(arguments[I])...);
}
template <class... Types> static void launch(void (*kernel)(Types...), unsigned blocks, void **arguments) {
  launch(kernel, blocks, arguments, std::index_sequence_for<Types...>());
}

extern "C" void run_hard_entropy(unsigned blocks, void **arguments) { launch(hard_entropy, blocks, arguments); }
extern "C" void run_soft_entropy(unsigned blocks, void **arguments) { launch(soft_entropy, blocks, arguments); }
extern "C" void run_soft_entropy_backward(unsigned blocks, void **arguments) {
  launch(soft_entropy_backward, blocks, arguments);
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
