// The product: costs out[s][t] = bias[t] - <x_s, y_t> of the positions of two samples.
#pragma once

#include <algorithm>

#include "simd.hpp"

namespace semrsm {

constexpr long CHANNELS_AT_ONCE = 128;  // summed in one go; sums of sums lose less than one long sum

// Numbers that `pack` writes for a sample: its positions in whole vectors.
template <class T> inline long packed_size(long S, long C) { return S / WIDTH<T> * WIDTH<T> * C; }

// Lay the positions y (S, C) out as the product reads them: panels of some vectors of positions,
// channel by channel. The S mod WIDTH last positions stay out: they are read from y.
template <class T> void pack(const T* y, long S, long C, T* out) {
    const long n_vectors = S / WIDTH<T>;
    for (long first = 0; first < n_vectors; first += VECTORS_AT_ONCE) {
        const long wide = std::min<long>(VECTORS_AT_ONCE, n_vectors - first) * WIDTH<T>;
        const T* from = y + first * WIDTH<T> * C;
        for (long c = 0; c < C; c++)
            for (long t = 0; t < wide; t++) *out++ = from[t * C + c];
    }
}

template <class T, int R, int N>
inline void product_block(const T* x, long C, const T* panel, T* out, long ld, const T* bias) {
    constexpr int L = WIDTH<T>;
    Vector<T> total[R][N];
    for (int k = 0; k < N; k++) {
        const Vector<T> b = bias ? load(bias + k * L) : Vector<T>{};
        for (int r = 0; r < R; r++) total[r][k] = b;
    }
    for (int r = 0; r < R; r++)
        for (int k = 0; k < N; k++) store(out + r * ld + k * L, total[r][k]);
    for (long from = 0; from < C; from += CHANNELS_AT_ONCE) {
        const long to = std::min(C, from + CHANNELS_AT_ONCE);
        Vector<T> sum[R][N] = {};
        for (long c = from; c < to; c++) {
            Vector<T> y[N];
            for (int k = 0; k < N; k++) y[k] = load(panel + (c * N + k) * L);
            for (int r = 0; r < R; r++) {
                const Vector<T> a = all(x[r * C + c]);
                for (int k = 0; k < N; k++) sum[r][k] += a * y[k];
            }
        }
        for (int r = 0; r < R; r++)
            for (int k = 0; k < N; k++)
                store(out + r * ld + k * L, load(out + r * ld + k * L) - sum[r][k]);
    }
}

template <class T, int N>
inline void product_panel(const T* x, long R, long C, const T* panel, T* out, long ld, const T* bias) {
    long s = 0;
    for (; s + ROWS_AT_ONCE <= R; s += ROWS_AT_ONCE)
        product_block<T, ROWS_AT_ONCE, N>(x + s * C, C, panel, out + s * ld, ld, bias);
    for (; s < R; s++) product_block<T, 1, N>(x + s * C, C, panel, out + s * ld, ld, bias);
}

// <x, y> of R rows x (R, C) with one vector y (C,).
template <class T, int R> inline void dots(const T* x, long C, const T* y, T* out, long ld, T bias) {
    constexpr int L = WIDTH<T>;
    T total[R] = {};
    for (long from = 0; from < C; from += CHANNELS_AT_ONCE * L) {
        const long to = std::min(C, from + CHANNELS_AT_ONCE * L);
        Vector<T> sum[R] = {};
        long c = from;
        for (; c + L <= to; c += L) {
            const Vector<T> b = load(y + c);
            for (int r = 0; r < R; r++) sum[r] += load(x + r * C + c) * b;
        }
        for (int r = 0; r < R; r++) {
            T rest = 0;
            for (long k = c; k < to; k++) rest += x[r * C + k] * y[k];
            total[r] += sum_of(sum[r]) + rest;
        }
    }
    for (int r = 0; r < R; r++) out[r * ld] = bias - total[r];
}

// Write bias[t] - <x_s, y_t> for R rows x (R, C) and all positions t to out (R, ld); beyond S stands BIG.
//
// y: (S, C); packed: what `pack` made of it; bias: (S,) or null.
template <class T>
void costs_of(const T* x, long R, const T* y, const T* packed, long S, long C, const T* bias, T* out,
              long ld) {
    constexpr int L = WIDTH<T>;
    const long n_vectors = S / L;
    for (long first = 0; first < n_vectors; first += VECTORS_AT_ONCE) {
        const T* panel = packed + first * L * C;
        const T* b = bias ? bias + first * L : nullptr;
        T* o = out + first * L;
        switch (std::min<long>(VECTORS_AT_ONCE, n_vectors - first)) {
            case 4: product_panel<T, VECTORS_AT_ONCE>(x, R, C, panel, o, ld, b); break;
            case 3: product_panel<T, 3>(x, R, C, panel, o, ld, b); break;
            case 2: product_panel<T, 2>(x, R, C, panel, o, ld, b); break;
            default: product_panel<T, 1>(x, R, C, panel, o, ld, b);
        }
    }
    for (long t = n_vectors * L; t < S; t++) {
        const T b = bias ? bias[t] : T(0);
        long s = 0;
        for (; s + 4 <= R; s += 4) dots<T, 4>(x + s * C, C, y + t * C, out + s * ld + t, ld, b);
        for (; s < R; s++) dots<T, 1>(x + s * C, C, y + t * C, out + s * ld + t, ld, b);
    }
    for (long s = 0; s < R; s++)
        for (long t = S; t < ld; t++) out[s * ld + t] = BIG<T>;
}

}  // namespace semrsm
