// Good potentials before solving: row minima, and Sinkhorn sweeps in scaling form (Cuturi 2013).
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "simd.hpp"

namespace semrsm {

constexpr int SWEEPS = 4;  // for each entropy

// Subtract its minimum from every row of costs (S, ld), and subtract it from u; returns the mean cost.
template <class T> double tighten(T* costs, long S, long ld, double* u) {
    const long n = ld / WIDTH<T>, whole = S / WIDTH<T>;
    double total = 0;
    for (long s = 0; s < S; s++) {
        T* row = costs + s * ld;
        Vector<T> smallest = load(row);
        for (long k = 1; k < n; k++) smallest = least(smallest, load(row + k * WIDTH<T>));
        const T minimum = least_of(smallest);
        Vector<T> sum{};
        for (long k = 0; k < whole; k++) {
            const Vector<T> c = load(row + k * WIDTH<T>) - minimum;
            store(row + k * WIDTH<T>, c);
            sum += c;
        }
        T rest = 0;
        for (long t = whole * WIDTH<T>; t < S; t++) rest += row[t] -= minimum;
        u[s] -= minimum;
        total += double(sum_of(sum)) + rest;
    }
    return total / (double(S) * S);
}

// Change the column potentials v so that the plan exp(-costs / entropy) has rows and columns that sum to
// about one, and the costs with them. Any change is allowed; a good one leaves little to solve.
//
// costs: (S, ld); plan: (S, ld) and column, sums: (ld,) to work in; v: (S,).
template <class T>
void sweep(T* costs, long S, long ld, double entropy, T* plan, T* column, T* sums, double* v) {
    constexpr int L = WIDTH<T>;
    const long n = ld / L;
    entropy = std::max(entropy, 1e-30);
    const T factor = T(-1 / entropy);
    Vector<T> inside;  // of the last vector, what is no padding
    for (int lane = 0; lane < L; lane++) inside[lane] = (n - 1) * L + lane < S ? 1 : 0;
    for (int round = 0; round < SWEEPS; round++) {
        for (long k = 0; k < n; k++) store(sums + k * L, Vector<T>{});
        for (long s = 0; s < S; s++) {
            T* p = plan + s * ld;
            Vector<T> total{};
            if (round == 0) {
                const T* c = costs + s * ld;
                for (long k = 0; k < n; k++) {
                    Vector<T> e = exp_of<T>(load(c + k * L) * factor);
                    if (k == n - 1) e *= inside;
                    store(p + k * L, e);
                    total += e;
                }
            } else {
                for (long k = 0; k < n; k++) total += load(p + k * L) * load(column + k * L);
            }
            const Vector<T> row = all(T(1) / sum_of(total));
            for (long k = 0; k < n; k++)
                store(sums + k * L, load(sums + k * L) + row * load(p + k * L));
        }
        for (long t = 0; t < S; t++) column[t] = T(1) / sums[t];
        for (long t = S; t < ld; t++) column[t] = 0;
    }
    for (long t = 0; t < S; t++) {
        column[t] = T(-entropy * std::log(double(column[t])));
        v[t] += column[t];
    }
    for (long s = 0; s < S; s++)
        for (long k = 0; k < n; k++)
            store(costs + s * ld + k * L, load(costs + s * ld + k * L) + load(column + k * L));
}

// The same for large maps: only entries of some weight are in the plan, and the costs stay as they are.
template <class T> struct SparsePlan {
    // Write to start (S,) the prices that balance the plan: potentials with the sign of costs - start.
    void sweep(const T* costs, long S, long ld, double entropy, std::vector<T>& column, std::vector<T>& start) {
        entropy = std::max(entropy, 1e-30);
        take(costs, S, ld, entropy);
        column.assign(ld, 1);
        for (int round = 0; round < SWEEPS; round++) {
            sums_.assign(S, T(1e-12));  // a column that nothing of weight reaches keeps a finite price
            for (long s = 0, k = 0; s < S; k = end_[s++]) {
                T total = T(1e-30);
                for (long e = k; e < end_[s]; e++) total += weight_[e] * column[where_[e]];
                const T row = 1 / total;
                for (long e = k; e < end_[s]; e++) sums_[where_[e]] += row * weight_[e];
            }
            for (long t = 0; t < S; t++) column[t] = 1 / sums_[t];
        }
        for (long t = 0; t < S; t++) start[t] = T(entropy * std::log(double(column[t])));
    }

  private:
    static constexpr double NEGLIGIBLE = 14;  // entropies; exp(-14) is 8e-7
    std::vector<T> weight_, sums_;
    std::vector<int32_t> where_;
    std::vector<long> end_;  // of each row

    void take(const T* costs, long S, long ld, double entropy) {
        weight_.clear();
        where_.clear();
        end_.clear();
        const T most = T(NEGLIGIBLE * entropy), factor = T(-1 / entropy);
        for (long s = 0; s < S; s++) {
            const T* row = costs + s * ld;
            for (long k = 0; k < ld; k += WIDTH<T>) {
                const Vector<T> c = load(row + k);
                if (!(least_of(c) < most)) continue;
                const Vector<T> weight = exp_of<T>(c * factor);
                for (int lane = 0; lane < WIDTH<T>; lane++)
                    if (c[lane] < most) {
                        weight_.push_back(weight[lane]);
                        where_.push_back(int32_t(k + lane));
                    }
            }
            end_.push_back(long(weight_.size()));
        }
    }
};

}  // namespace semrsm
