// The entropy layer as the MINT paper describes it (appendix B.2), written from that text: a block for every region,
// 256 threads, one for each bin; every thread walks over all values of the region.
//
// regions: (blocks, values), the unfolded regions; entropy and grad: (blocks,); result: like regions.
// The bins are the paper's, closed and 1/256 wide around k/255, with the sign of its equation 13 put right.

constexpr float WIDTH = 1.f / 256.f;

__device__ float sigmoid(float x) { return 1.f / (1.f + expf(-x)); }

__device__ float share(const float *region, int values, float centre, float bandwidth) {
  float sum = 0.f;
  for (int i = 0; i < values; i++) {
    const float distance = region[i] - centre;
    sum += sigmoid((distance + WIDTH / 2) / bandwidth) - sigmoid((distance - WIDTH / 2) / bandwidth);
  }
  return sum / values;
}

extern "C" __global__ void paper_forward(const float *regions, float *entropy, int values, float bandwidth) {
  __shared__ float terms[256];
  const float p = share(regions + (size_t)blockIdx.x * values, values, threadIdx.x / 255.f, bandwidth);
  terms[threadIdx.x] = p > 0.f ? -p * logf(p) : 0.f;
  __syncthreads();
  for (int half = 128; half > 0; half /= 2) {
    if (threadIdx.x < half) terms[threadIdx.x] += terms[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x == 0) entropy[blockIdx.x] = terms[0];
}

// Every thread adds its bin's part to all values of the region.
extern "C" __global__ void paper_backward(const float *regions, const float *grad, float *result, int values,
                                          float bandwidth) {
  const float *region = regions + (size_t)blockIdx.x * values;
  const float centre = threadIdx.x / 255.f, p = share(region, values, centre, bandwidth);
  const float factor = p > 0.f ? -grad[blockIdx.x] * (logf(p) + 1.f) / (values * bandwidth) : 0.f;
  for (int i = 0; i < values; i++) {
    const float low = sigmoid((region[i] - centre + WIDTH / 2) / bandwidth),
                high = sigmoid((region[i] - centre - WIDTH / 2) / bandwidth);
    atomicAdd(result + (size_t)blockIdx.x * values + i, factor * (low * (1.f - low) - high * (1.f - high)));
  }
}
