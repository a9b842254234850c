// Products in float64, whatever the numbers are stored in.
#pragma once

#include "simd.hpp"

namespace semrsm {

// <x, y> of two vectors (C,), their products and the sum in float64.
template <class T> double dot(const T* x, const T* y, long C) {
    constexpr int L = WIDTH<double>, SUMS = 4;
    typedef T Some __attribute__((vector_size(L * sizeof(T))));
    Vector<double> sum[SUMS] = {};
    long c = 0;
    for (; c + SUMS * L <= C; c += SUMS * L)
        for (int k = 0; k < SUMS; k++) {
            Some a, b;
            std::memcpy(&a, x + c + k * L, sizeof a);
            std::memcpy(&b, y + c + k * L, sizeof b);
            sum[k] += __builtin_convertvector(a, Vector<double>) * __builtin_convertvector(b, Vector<double>);
        }
    double total = sum_of((sum[0] + sum[1]) + (sum[2] + sum[3]));
    for (; c < C; c++) total += double(x[c]) * double(y[c]);
    return total;
}

}  // namespace semrsm
