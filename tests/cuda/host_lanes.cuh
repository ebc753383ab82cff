// A warp on the host: stands in for lanes.cuh when g++ compiles the kernels for the tests. Every F and U holds the
// values of all 32 lanes, and each operation is carried out on all of them, as the warp's is.
//
// The approximate functions of the hardware are given errors as large as its documentation allows (2^-22 for ex2 and
// lg2, one unit in the last place for rcp), different for every argument and the same for equal ones.

#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#define DEVICE inline
#define TABLE static const
#define __global__
#define __launch_bounds__(...)

static struct {
  unsigned x;
} blockIdx, threadIdx;

template <class T> struct Each {
  T lane[32];
  Each() {}
  explicit Each(T value) {
    for (T &item : lane) item = value;
  }
};

template <class T, class Function> inline Each<T> each(Function function) {
  Each<T> result;
  for (int i = 0; i < 32; i++) result.lane[i] = function(i);
  return result;
}

template <class T> inline Each<T> operator+(const Each<T> &a, const Each<T> &b) {
  return each<T>([&](int i) { return a.lane[i] + b.lane[i]; });
}
template <class T> inline Each<T> operator-(const Each<T> &a, const Each<T> &b) {
  return each<T>([&](int i) { return a.lane[i] - b.lane[i]; });
}
template <class T> inline Each<T> operator*(const Each<T> &a, const Each<T> &b) {
  return each<T>([&](int i) { return a.lane[i] * b.lane[i]; });
}

// Between -1 and 1, the same for the same argument.
inline float error_of(float argument) {
  uint32_t bits;
  std::memcpy(&bits, &argument, sizeof bits);
  bits = (bits ^ bits >> 16) * 0x7feb352du;
  bits = (bits ^ bits >> 15) * 0x846ca68bu;
  return float((bits ^ bits >> 16) & 0xffffff) / 8388608.f - 1.f;
}
inline float flushed(float a) { return std::fabs(a) < std::numeric_limits<float>::min() ? 0.f : a; }
inline float approximate_exp2(float a) { return flushed(std::exp2(a) * (1.f + error_of(a) * 0x1p-22f)); }
inline float approximate_reciprocal(float a) { return flushed(1.f / a * (1.f + error_of(a) * 0x1p-23f)); }
inline float approximate_log2(float a) {
  const float exact = std::log2(a), size = a > 0.5f && a < 2.f ? 1.f : std::fabs(exact);
  return exact + error_of(a) * 0x1p-22f * size;
}

struct Lanes {
  using F = Each<float>;
  using U = Each<unsigned>;

  static F fma(F a, F b, F c) {
    return each<float>([&](int i) { return std::fma(a.lane[i], b.lane[i], c.lane[i]); });
  }
  static F min(F a, float b) { return each<float>([&](int i) { return std::fmin(a.lane[i], b); }); }
  static F max(F a, float b) { return each<float>([&](int i) { return std::fmax(a.lane[i], b); }); }
  static F not_negative(F a) { return each<float>([&](int i) { return a.lane[i] < 0.f ? 0.f : a.lane[i]; }); }
  static F nan_outside(F a, float low, float high) {
    return each<float>([&](int i) { return a.lane[i] >= low && a.lane[i] <= high ? 0.f : std::nanf(""); });
  }
  static bool any(F a) {
    for (float item : a.lane)
      if (std::isnan(item)) return true;
    return false;
  }
  static void tell(float *bad, F blemish, F value) {
    for (int i = 0; i < 32; i++)
      if (blemish.lane[i] != 0.f) *bad = value.lane[i];
  }
  static F round(F a) { return each<float>([&](int i) { return std::rint(a.lane[i]); }); }
  static F to_float(U a) { return each<float>([&](int i) { return float(a.lane[i]); }); }
  static U equal(F a, float b) { return each<unsigned>([&](int i) { return a.lane[i] == b ? 1u : 0u; }); }

  static F exp2(F a) { return each<float>([&](int i) { return approximate_exp2(a.lane[i]); }); }
  static float exp2_uniform(float a) { return approximate_exp2(a); }
  static F log2(F a) { return each<float>([&](int i) { return approximate_log2(a.lane[i]); }); }
  static F reciprocal(F a) { return each<float>([&](int i) { return approximate_reciprocal(a.lane[i]); }); }

  template <class T> static T from_right(T a, int d) {
    T result;
    for (int i = 0; i < 32; i++) result.lane[i] = a.lane[i + d < 32 ? i + d : i];
    return result;
  }
  template <class T> static T from_left(T a, int d) {
    T result;
    for (int i = 0; i < 32; i++) result.lane[i] = a.lane[i >= d ? i - d : i];
    return result;
  }

  template <class Value> static F load(const Value *row, int left, int width) {
    return each<float>([&](int i) {
      const int x = left + i;
      return float(row[x < 0 ? 0 : x < width ? x : width - 1]);
    });
  }
  static F load_inside(const float *row, int left, int width, bool inside) {
    return each<float>([&](int i) { return inside && left + i >= 0 && left + i < width ? row[left + i] : 0.f; });
  }
  static void store(float *row, int left, int width, int first, int end, F value) {
    for (int i = first; i < end; i++)
      if (left + i >= 0 && left + i < width) row[left + i] = value.lane[i];
  }
  static U look_up(const unsigned *table, U index) {
    return each<unsigned>([&](int i) { return table[index.lane[i]]; });
  }

  static void mark(unsigned *mask, F level) {
    for (int i = 0; i < 32; i++) {
      const int k = int(std::rint(std::fmin(std::fmax(level.lane[i], 0.f), 255.f)));
      mask[k >> 5] |= 1u << (k & 31);
    }
  }
  static void unite(unsigned *) {}  // the mask is the whole warp's from the start
  static int first_bit(unsigned bits) { return __builtin_ctz(bits); }
};
