// What a warp knows of its part of an image: the values of a block of rows, their grey levels, and the shares of the
// values that lie above the edge of a bin.

#pragma once

constexpr int BINS = 256;
constexpr int MASK_WORDS = BINS / 32;
constexpr float TOLERANCE = 1e-5f;        // how far outside [0, 1] a value may lie before its region becomes NaN
constexpr float LARGEST = 1.0995116e12f;  // 2^40: three such factors still fit into a float
constexpr float SMALLEST = 1e-30f;        // instead of an empty bin's share: its logarithm is finite

struct Shape {
  int height, width;
};

struct SoftBins {
  float steepness;  // c, in powers of two a grey level
  int rebase;       // bins served by one exponential, a power of two
  int reach;        // bins on either side of its own into which a value spreads
};

// How far the value lies below `edge`, in grey levels; the images are floating in [0, 1] or uint8.
template <class Lanes> DEVICE typename Lanes::F below_edge(typename Lanes::F value, float edge, const float *) {
  return Lanes::fma(value, typename Lanes::F(-255.f), typename Lanes::F(edge));  // one rounding, of a small number
}
template <class Lanes>
DEVICE typename Lanes::F below_edge(typename Lanes::F value, float edge, const unsigned char *) {
  return typename Lanes::F(edge) - value;
}

// The nearest of the 256 levels, ties to the even one.
template <class Lanes> DEVICE typename Lanes::F level_of(typename Lanes::F value, const float *) {
  return Lanes::round(value * typename Lanes::F(255.f));
}
template <class Lanes> DEVICE typename Lanes::F level_of(typename Lanes::F value, const unsigned char *) {
  return value;
}

// 0 where a value may stand, NaN where it may not.
template <class Lanes> DEVICE typename Lanes::F blemish(typename Lanes::F value, const float *) {
  return Lanes::nan_outside(value, -TOLERANCE, 1.f + TOLERANCE);
}
template <class Lanes> DEVICE typename Lanes::F blemish(typename Lanes::F, const unsigned char *) {
  return typename Lanes::F(0.f);
}

template <int REGION, class T> DEVICE T sum_down(const T *rows) {
  T sum = rows[0];
#pragma unroll
  for (int i = 1; i < REGION; i++) sum = sum + rows[i];
  return sum;
}

// Sum over this lane and the REGION - 1 lanes to its right, or to its left.
template <class Lanes, int REGION, class T> DEVICE T sum_right(T value) {
  T sum = value;
#pragma unroll
  for (int i = 1; i < REGION; i++) sum = sum + Lanes::from_right(value, i);
  return sum;
}
template <class Lanes, int REGION, class T> DEVICE T sum_left(T value) {
  T sum = value;
#pragma unroll
  for (int i = 1; i < REGION; i++) sum = sum + Lanes::from_left(value, i);
  return sum;
}

// Spread every bit of the mask over `reach` bits on both sides.
DEVICE void widen(unsigned *mask, int reach) {
  for (; reach > 0; reach--) {
    unsigned wider[MASK_WORDS];
#pragma unroll
    for (int j = 0; j < MASK_WORDS; j++) {
      const unsigned low = j > 0 ? mask[j - 1] >> 31 : 0u, high = j < MASK_WORDS - 1 ? mask[j + 1] << 31 : 0u;
      wider[j] = mask[j] | mask[j] << 1 | mask[j] >> 1 | low | high;
    }
#pragma unroll
    for (int j = 0; j < MASK_WORDS; j++) mask[j] = wider[j];
  }
}

// A block of rows of one strip. With KEPT its values stay in registers; otherwise, for many channels, they are read
// again whenever they are needed.
template <class Lanes, class Value, int CHANNELS, bool KEPT, int ROWS> struct Strip {
  using F = typename Lanes::F;
  using U = typename Lanes::U;
  static constexpr int UNROLL = KEPT ? CHANNELS : 1;
  const Value *image;
  Shape shape;
  int left, top;
  F values[ROWS][UNROLL];
  F carried[ROWS][UNROLL];  // soft bins: 2^(c(b + 1/2 - u)), for the bins from b on

  DEVICE Strip(const Value *image, Shape shape, int left, int top)
      : image(image), shape(shape), left(left), top(top) {
    if constexpr (KEPT) {
#pragma unroll
      for (int i = 0; i < ROWS; i++)
#pragma unroll
        for (int c = 0; c < CHANNELS; c++) values[i][c] = load(i, c);
    }
  }

  // Value of a pixel; outside the image, that of the nearest one.
  DEVICE F load(int row, int channel) const {
    int y = top + row;
    y = y < 0 ? 0 : y < shape.height ? y : shape.height - 1;
    return Lanes::load(image + ((size_t)channel * shape.height + y) * shape.width, left, shape.width);
  }

  DEVICE F value(int row, int channel) const {
    if constexpr (KEPT) return values[row][channel];
    return load(row, channel);
  }

  // A bit for every level that occurs in any lane.
  DEVICE void mark(unsigned *mask) const {
#pragma unroll
    for (int j = 0; j < MASK_WORDS; j++) mask[j] = 0;
#pragma unroll
    for (int i = 0; i < ROWS; i++)
#pragma unroll UNROLL
      for (int c = 0; c < CHANNELS; c++) Lanes::mark(mask, level_of<Lanes>(value(i, c), image));
    Lanes::unite(mask);
  }

  // For every region 0, or NaN where it holds a value that may not stand; such a value is also left in `bad`.
  template <int REGION> DEVICE void inspect(F *spoilt, float *bad) const {
    F blemishes[ROWS];
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
      blemishes[i] = F(0.f);
#pragma unroll UNROLL
      for (int c = 0; c < CHANNELS; c++) blemishes[i] = blemishes[i] + blemish<Lanes>(value(i, c), image);
    }
    if (Lanes::any(sum_down<ROWS>(blemishes))) {  // rare: read once more, which takes no registers
#pragma unroll 1
      for (int i = 0; i < ROWS; i++)
#pragma unroll 1
        for (int c = 0; c < CHANNELS; c++) Lanes::tell(bad, blemish<Lanes>(load(i, c), image), load(i, c));
    }
#pragma unroll
    for (int o = 0; o <= ROWS - REGION; o++)
      spoilt[o] = sum_right<Lanes, REGION>(sum_down<REGION>(blemishes + o));
  }

  // Hard bins: from here on the registers hold levels.
  DEVICE void round_values() {
    if constexpr (KEPT) {
#pragma unroll
      for (int i = 0; i < ROWS; i++)
#pragma unroll
        for (int c = 0; c < CHANNELS; c++) values[i][c] = level_of<Lanes>(values[i][c], image);
    }
  }

  // How many channels have the level k.
  DEVICE U count(int row, int k) const {
    U sum(0u);
#pragma unroll UNROLL
    for (int c = 0; c < CHANNELS; c++) {
      if constexpr (KEPT)
        sum = sum + Lanes::equal(values[row][c], float(k));
      else
        sum = sum + Lanes::equal(level_of<Lanes>(load(row, c), image), float(k));
    }
    return sum;
  }

  DEVICE void rebase(int base, float steepness) {
    if constexpr (KEPT) {
#pragma unroll
      for (int i = 0; i < ROWS; i++)
#pragma unroll
        for (int c = 0; c < CHANNELS; c++) carried[i][c] = exponential(i, c, base + 0.5f, steepness);
    }
  }

  DEVICE F exponential(int row, int channel, float edge, float steepness) const {
    return Lanes::exp2(below_edge<Lanes>(value(row, channel), edge, image) * F(steepness));
  }

  // 1 + 2^(c(k + 1/2 - u)), kept below LARGEST: the inverse of the share above bin k. `factor` is 2^(c(k - b)).
  DEVICE F inverse(int row, int channel, int k, float factor, float steepness) const {
    if constexpr (KEPT) return Lanes::min(Lanes::fma(carried[row][channel], F(factor), F(1.f)), LARGEST);
    return Lanes::min(exponential(row, channel, k + 0.5f, steepness) + F(1.f), LARGEST);
  }

  // Sum over the channels of the shares above bin k.
  DEVICE F above(int row, int k, float factor, float steepness) const {
    if constexpr (KEPT && CHANNELS == 3) {  // one reciprocal instead of three
      const F a = inverse(row, 0, k, factor, steepness), b = inverse(row, 1, k, factor, steepness),
              c = inverse(row, 2, k, factor, steepness);
      return Lanes::fma(a + b, c, a * b) * Lanes::reciprocal(a * b * c);
    }
    F sum(0.f);
#pragma unroll UNROLL
    for (int c = 0; c < CHANNELS; c++) sum = sum + Lanes::reciprocal(inverse(row, c, k, factor, steepness));
    return sum;
  }

  // Derivative of the share above bin k with respect to (x - e)/B.
  DEVICE F slope(int row, int channel, int k, float factor, float steepness) const {
    const F share = Lanes::reciprocal(inverse(row, channel, k, factor, steepness));
    return share - share * share;
  }
};

// Calls visit(k) for every bit k of the mask, upwards.
template <class Lanes, class Visit> DEVICE void for_each_bin(const unsigned *mask, Visit visit) {
#pragma unroll 1
  for (int word = 0; word < MASK_WORDS; word++) {
    unsigned bits = 0;
#pragma unroll
    for (int j = 0; j < MASK_WORDS; j++) bits = word == j ? mask[j] : bits;  // constant indices: registers
#pragma unroll 1
    for (; bits; bits &= bits - 1) visit(word * 32 + Lanes::first_bit(bits));
  }
}
