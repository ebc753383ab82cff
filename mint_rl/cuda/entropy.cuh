// Local entropy of a strip of an image, computed by one warp.
//
// A warp takes 32 columns and a few rows. Each lane keeps the column it stands on in registers; sums down a column
// are additions, sums along a row are shuffles. Only the grey levels that occur in the strip are visited: the lanes
// mark theirs in a mask of 256 bits, and for every bit that is set the warp finds the share p of that level in all
// its regions at once, and adds p ln p. No shared memory, no atomics: the same input gives the same bits.
//
// Soft bins: the share of a value above bin k is 1/(1 + 2^(c(k + 1/2 - u))), with u the value in grey levels and
// c = log2(e)/(255 B); the weight in bin k is the share above its lower edge less that above its upper edge.
// The exponential is taken once per value and `rebase` bins and carried on from edge to edge by a factor.
//
// Nothing lies above the last bin, whose upper edge is at infinity: there the share above is multiplied by 0.
//
// `Lanes` supplies what differs between a warp and its simulation on the host: see lanes.cuh.

#pragma once

#include "strip.cuh"

// Entropies of the regions whose top left pixels are the lanes 0 to 32 - REGION of the rows from `top`.
// gains: n ln n in fixed point for n = 0..M; unit: what one of its units is in the entropy.
template <class Lanes, class Value, int CHANNELS, bool KEPT, int REGION, int ROWS>
DEVICE void hard_strip(const Value *image, float *entropy, float *bad, Shape shape, int left, int top,
                       const unsigned *gains, float unit) {
  using F = typename Lanes::F;
  using U = typename Lanes::U;
  constexpr int INPUTS = ROWS + REGION - 1;
  Strip<Lanes, Value, CHANNELS, KEPT, INPUTS> strip(image, shape, left, top);
  unsigned mask[MASK_WORDS];
  strip.mark(mask);
  F spoilt[ROWS];
  strip.template inspect<REGION>(spoilt, bad);
  strip.round_values();
  U total[ROWS];
#pragma unroll
  for (int o = 0; o < ROWS; o++) total[o] = U(0u);
  for_each_bin<Lanes>(mask, [&](int k) {
    U counts[INPUTS];
#pragma unroll
    for (int i = 0; i < INPUTS; i++) counts[i] = strip.count(i, k);
#pragma unroll
    for (int o = 0; o < ROWS; o++)
      total[o] = total[o] + Lanes::look_up(gains, sum_right<Lanes, REGION>(sum_down<REGION>(counts + o)));
  });
  const U whole(gains[CHANNELS * REGION * REGION]);
  const int rows = shape.height - REGION + 1, columns = shape.width - REGION + 1;
#pragma unroll
  for (int o = 0; o < ROWS; o++)
    if (top + o < rows)
      Lanes::store(entropy + (size_t)(top + o) * columns, left, columns, 0, 33 - REGION,
                   Lanes::fma(Lanes::to_float(whole - total[o]), F(unit), spoilt[o]));
}

// As hard_strip, with soft bins.
template <class Lanes, class Value, int CHANNELS, bool KEPT, int REGION, int ROWS>
DEVICE void soft_strip(const Value *image, float *entropy, float *bad, Shape shape, int left, int top,
                       SoftBins bins) {
  using F = typename Lanes::F;
  constexpr int INPUTS = ROWS + REGION - 1;
  Strip<Lanes, Value, CHANNELS, KEPT, INPUTS> strip(image, shape, left, top);
  const float share = 1.f / (CHANNELS * REGION * REGION);
  unsigned mask[MASK_WORDS];
  strip.mark(mask);
  widen(mask, bins.reach);
  F below[INPUTS], total[ROWS];
  strip.template inspect<REGION>(total, bad);
#pragma unroll
  for (int i = 0; i < INPUTS; i++) below[i] = F(float(CHANNELS));
  int base = -1;
  for_each_bin<Lanes>(mask, [&](int k) {
    if ((k & ~(bins.rebase - 1)) != base) strip.rebase(base = k & ~(bins.rebase - 1), bins.steepness);
    const float factor = Lanes::exp2_uniform(bins.steepness * (k - base));
    const F taken(k == BINS - 1 ? 0.f : -1.f);
    F weights[INPUTS];
#pragma unroll
    for (int i = 0; i < INPUTS; i++) {
      const F above = strip.above(i, k, factor, bins.steepness);
      weights[i] = Lanes::fma(above, taken, below[i]);
      below[i] = above;
    }
#pragma unroll
    for (int o = 0; o < ROWS; o++) {
      const F p = sum_right<Lanes, REGION>(sum_down<REGION>(weights + o)) * F(share);
      total[o] = Lanes::fma(p, Lanes::log2(Lanes::max(p, SMALLEST)), total[o]);
    }
  });
  const int rows = shape.height - REGION + 1, columns = shape.width - REGION + 1;
#pragma unroll
  for (int o = 0; o < ROWS; o++)
    if (top + o < rows)
      Lanes::store(entropy + (size_t)(top + o) * columns, left, columns, 0, 33 - REGION,
                   Lanes::not_negative(total[o] * F(-0.69314718056f)));
}

// Gradient of the soft entropy at the pixels of the rows from `top` and the 34 - 2 REGION columns from `left`,
// gathered from all the regions that hold them. grad: (H - REGION + 1, W - REGION + 1); scale: -ln 2/(M B).
template <class Lanes, class Value, int CHANNELS, bool KEPT, int REGION, int ROWS>
DEVICE void backward_strip(const Value *image, const float *grad, float *result, float *bad, Shape shape, int left,
                           int top, SoftBins bins, float scale) {
  using F = typename Lanes::F;
  constexpr int HALO = REGION - 1, OUTPUTS = ROWS + HALO, INPUTS = OUTPUTS + HALO;
  constexpr int UNROLL = KEPT ? CHANNELS : 1;
  Strip<Lanes, Value, CHANNELS, KEPT, INPUTS> strip(image, shape, left - HALO, top - HALO);
  const float share = 1.f / (CHANNELS * REGION * REGION);
  const int rows = shape.height - HALO, columns = shape.width - HALO;
  unsigned mask[MASK_WORDS];
  strip.mark(mask);
  widen(mask, bins.reach);
  F below[INPUTS], messages[OUTPUTS], gradients[OUTPUTS], total[ROWS][UNROLL], slopes[ROWS][UNROLL];
  strip.template inspect<REGION>(messages, bad);
#pragma unroll
  for (int o = 0; o < OUTPUTS; o++) {
    const int y = top - HALO + o;
    const bool inside = y >= 0 && y < rows;
    gradients[o] = Lanes::load_inside(grad + (size_t)(inside ? y : 0) * columns, left - HALO, columns, inside);
  }
#pragma unroll
  for (int r = 0; r < ROWS; r++) {
    const F spoilt = sum_left<Lanes, REGION>(sum_down<REGION>(messages + r));
#pragma unroll UNROLL
    for (int c = 0; c < CHANNELS; c++) {
      if constexpr (KEPT)
        total[r][c] = spoilt, slopes[r][c] = F(0.f);
      else if (top + r < shape.height)
        Lanes::store(result + ((size_t)c * shape.height + top + r) * shape.width, left - HALO, shape.width, HALO,
                     33 - REGION, spoilt);
    }
  }
#pragma unroll
  for (int i = 0; i < INPUTS; i++) below[i] = F(float(CHANNELS));
  int base = -1;
  for_each_bin<Lanes>(mask, [&](int k) {
    if ((k & ~(bins.rebase - 1)) != base) strip.rebase(base = k & ~(bins.rebase - 1), bins.steepness);
    const float factor = Lanes::exp2_uniform(bins.steepness * (k - base));
    const F taken(k == BINS - 1 ? 0.f : -1.f);
    F weights[INPUTS], derivatives[ROWS][UNROLL];
#pragma unroll
    for (int i = 0; i < INPUTS; i++) {
      const F above = strip.above(i, k, factor, bins.steepness);
      weights[i] = Lanes::fma(above, taken, below[i]);
      below[i] = above;
    }
    if constexpr (KEPT) {
#pragma unroll
      for (int r = 0; r < ROWS; r++)
#pragma unroll
        for (int c = 0; c < CHANNELS; c++) {
          const F slope = strip.slope(r + HALO, c, k, factor, bins.steepness);
          derivatives[r][c] = Lanes::fma(slope, taken, slopes[r][c]);
          slopes[r][c] = slope;
        }
    }
#pragma unroll
    for (int o = 0; o < OUTPUTS; o++) {
      const F p = sum_right<Lanes, REGION>(sum_down<REGION>(weights + o)) * F(share);
      messages[o] = gradients[o] * Lanes::log2(Lanes::max(p, SMALLEST));
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
      const F message = sum_left<Lanes, REGION>(sum_down<REGION>(messages + r));
#pragma unroll UNROLL
      for (int c = 0; c < CHANNELS; c++) {
        if constexpr (KEPT) {
          total[r][c] = Lanes::fma(message, derivatives[r][c], total[r][c]);
        } else if (top + r < shape.height) {
          // Any number of channels: the sums stand in the result, where no other warp touches them.
          float *row = result + ((size_t)c * shape.height + top + r) * shape.width;
          const F lower(k == 0 ? 0.f : 1.f);  // nor does anything lie below the first bin
          const F derivative = Lanes::fma(strip.slope(r + HALO, c, k, 0.f, bins.steepness), taken,
                                          strip.slope(r + HALO, c, k - 1, 0.f, bins.steepness) * lower);
          const F sum = Lanes::load_inside(row, left - HALO, shape.width, true);
          Lanes::store(row, left - HALO, shape.width, HALO, 33 - REGION,
                       Lanes::fma(message * F(scale), derivative, sum));
        }
      }
    }
  });
  if constexpr (KEPT) {
#pragma unroll
    for (int r = 0; r < ROWS; r++)
      if (top + r < shape.height)
#pragma unroll
        for (int c = 0; c < CHANNELS; c++)
          Lanes::store(result + ((size_t)c * shape.height + top + r) * shape.width, left - HALO, shape.width, HALO,
                       33 - REGION, total[r][c] * F(scale));
  }
}
