// The kernels of local entropy, compiled at run time for one kind of image: compile.py gives the names ENTROPY_... as
// options (VALUE is float or unsigned char; KEPT, whether the values fit into registers) and writes gains.cuh for the
// number of values in a region. One warp a strip; see entropy.cuh.
//
// images: (N, C, H, W), contiguous. Strips are counted through all images; offsets are 64 bits wide.
// bad: one float; a value outside [0, 1], or a NaN, is left there if there is any.

#include "lanes.cuh"
#include "gains.cuh"
#include "entropy.cuh"

using Value = ENTROPY_VALUE;
constexpr int CHANNELS = ENTROPY_CHANNELS, REGION = ENTROPY_REGION;
constexpr bool KEPT = ENTROPY_KEPT;
constexpr int WARPS = ENTROPY_WARPS;  // in a block
constexpr int FORWARD_ROWS = ENTROPY_FORWARD_ROWS, BACKWARD_ROWS = ENTROPY_BACKWARD_ROWS;  // of a strip
constexpr int FORWARD_COLUMNS = 33 - REGION, BACKWARD_COLUMNS = 34 - 2 * REGION;

struct Place {
  long long image;
  int top, left;
  bool exists;
};

// The strip of this warp, `across` of which lie side by side and `down` one above the other.
DEVICE Place place(long long images, int across, int down, int rows, int columns) {
  const long long strip = (long long)blockIdx.x * WARPS + threadIdx.x / 32, in_image = (long long)across * down;
  const long long image = strip / in_image;
  const long long inside = strip - image * in_image;
  return {image, int(inside / across) * rows, int(inside % across) * columns, image < images};
}

// Where an image begins, and its entropies.
DEVICE long long pixels(const Place &at, Shape shape) { return at.image * CHANNELS * shape.height * shape.width; }
DEVICE long long regions(const Place &at, Shape shape) {
  return at.image * (shape.height - REGION + 1) * (shape.width - REGION + 1);
}

extern "C" __global__ void __launch_bounds__(32 * WARPS)
    hard_entropy(const Value *__restrict__ images, float *__restrict__ entropy, float *bad, long long count, int height,
                 int width, int across, int down) {
  const Shape shape{height, width};
  const Place at = place(count, across, down, FORWARD_ROWS, FORWARD_COLUMNS);
  if (at.exists)
    hard_strip<Lanes, Value, CHANNELS, KEPT, REGION, FORWARD_ROWS>(
        images + pixels(at, shape), entropy + regions(at, shape), bad, shape, at.left, at.top, GAINS, GAINS_UNIT);
}

extern "C" __global__ void __launch_bounds__(32 * WARPS)
    soft_entropy(const Value *__restrict__ images, float *__restrict__ entropy, float *bad, long long count, int height,
                 int width, int across, int down, float steepness, int rebase, int reach) {
  const Shape shape{height, width};
  const Place at = place(count, across, down, FORWARD_ROWS, FORWARD_COLUMNS);
  if (at.exists)
    soft_strip<Lanes, Value, CHANNELS, KEPT, REGION, FORWARD_ROWS>(
        images + pixels(at, shape), entropy + regions(at, shape), bad, shape, at.left, at.top,
        {steepness, rebase, reach});
}

extern "C" __global__ void __launch_bounds__(32 * WARPS)
    soft_entropy_backward(const Value *__restrict__ images, const float *__restrict__ grad, float *result, float *bad,
                          long long count, int height, int width, int across, int down, float steepness, int rebase,
                          int reach, float scale) {
  const Shape shape{height, width};
  const Place at = place(count, across, down, BACKWARD_ROWS, BACKWARD_COLUMNS);
  if (at.exists)
    backward_strip<Lanes, Value, CHANNELS, KEPT, REGION, BACKWARD_ROWS>(
        images + pixels(at, shape), grad + regions(at, shape), result + pixels(at, shape), bad, shape, at.left, at.top,
        {steepness, rebase, reach}, scale);
}
