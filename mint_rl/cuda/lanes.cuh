// The 32 lanes of a warp, each holding one float (F) or one count (U) of its own.

#pragma once

#define DEVICE __device__ __forceinline__
#define TABLE __device__ const

struct Lanes {
  using F = float;
  using U = unsigned;
  static constexpr unsigned ALL = 0xffffffffu;

  static DEVICE int lane() { return threadIdx.x & 31; }

  static DEVICE float fma(float a, float b, float c) { return __fmaf_rn(a, b, c); }
  static DEVICE float min(float a, float b) { return fminf(a, b); }
  static DEVICE float max(float a, float b) { return fmaxf(a, b); }
  static DEVICE float not_negative(float a) { return a < 0.f ? 0.f : a; }  // lets NaN pass, as max does not
  static DEVICE float nan_outside(float a, float low, float high) {
    return a >= low && a <= high ? 0.f : __int_as_float(0x7fffffff);
  }
  // Whether there is a NaN in any lane.
  static DEVICE bool any(float a) { return __any_sync(ALL, a != a); }
  // Several lanes may tell of a value at once; any one of them will do.
  static DEVICE void tell(float *bad, float blemish, float value) {
    if (blemish != 0.f) *bad = value;
  }
  static DEVICE float round(float a) { return rintf(a); }
  static DEVICE float to_float(unsigned a) { return __uint2float_rn(a); }
  static DEVICE unsigned equal(float a, float b) { return a == b ? 1u : 0u; }

  static DEVICE float exp2(float a) {
    float result;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(a));
    return result;
  }
  static DEVICE float exp2_uniform(float a) { return exp2(a); }
  static DEVICE float log2(float a) {
    float result;
    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(a));
    return result;
  }
  static DEVICE float reciprocal(float a) {
    float result;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(a));
    return result;
  }

  template <class T> static DEVICE T from_right(T value, int distance) {
    return __shfl_down_sync(ALL, value, distance);
  }
  template <class T> static DEVICE T from_left(T value, int distance) { return __shfl_up_sync(ALL, value, distance); }

  // Lane i gets the pixel in column left + i, or the nearest one in the row.
  template <class Value> static DEVICE float load(const Value *row, int left, int width) {
    const int x = left + lane();
    return float(__ldg(row + (x < 0 ? 0 : x < width ? x : width - 1)));
  }
  // Not through the read-only cache: the gradient of many channels is summed up in memory.
  static DEVICE float load_inside(const float *row, int left, int width, bool inside) {
    const int x = left + lane();
    return inside && x >= 0 && x < width ? row[x] : 0.f;
  }
  static DEVICE void store(float *row, int left, int width, int first, int end, float value) {
    const int x = left + lane();
    if (lane() >= first && lane() < end && x >= 0 && x < width) row[x] = value;
  }
  static DEVICE unsigned look_up(const unsigned *table, unsigned index) { return __ldg(table + index); }

  static DEVICE void mark(unsigned *mask, float level) {
    const int k = __float2int_rn(fminf(fmaxf(level, 0.f), 255.f));
#pragma unroll
    for (int j = 0; j < 8; j++) mask[j] |= k >> 5 == j ? 1u << (k & 31) : 0u;
  }
  static DEVICE void unite(unsigned *mask) {
#pragma unroll
    for (int j = 0; j < 8; j++) {
#if __CUDA_ARCH__ >= 800
      mask[j] = __reduce_or_sync(ALL, mask[j]);
#else
      for (int distance = 16; distance > 0; distance /= 2) mask[j] |= __shfl_xor_sync(ALL, mask[j], distance);
#endif
    }
  }
  static DEVICE int first_bit(unsigned bits) { return __ffs(bits) - 1; }
};
