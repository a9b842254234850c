// Good potentials before solving: row minima, and Sinkhorn sweeps in scaling form (Cuturi 2013).
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "simd.hpp"

namespace semrsm {

constexpr int SWEEPS = 4;      // for each entropy
constexpr int ROWS_SWEPT = 4;  // at once

// Subtract its minimum from every one of R rows of costs (R, ld), and from u; returns the sum of the costs.
template <class T> double tighten(T* costs, long R, long S, long ld, double* u) {
    const long n = ld / WIDTH<T>, whole = S / WIDTH<T>;
    double total = 0;
    for (long s = 0; s < R; s++) {
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
    return total;
}

// Write exp(factor * costs) of R rows to the plan; `inside` is 0 in the last vector where no column is.
template <class T, int R>
inline void take_exponentials(const T* costs, long ld, T factor, Vector<T> inside, T* plan) {
    for (long k = 0; k < R * ld; k += WIDTH<T>) store(plan + k, exp_of<T>(load(costs + k) * factor));
    for (long last = ld - WIDTH<T>; last < R * ld; last += ld) store(plan + last, load(plan + last) * inside);
}

// Scale R rows of the plan, times the column factors, to a sum of one, and add them to the column sums.
// Rows are taken together, as what ends each of them is a chain of steps that wait for one another.
template <class T, int R> inline void balance(const T* plan, long ld, const T* column, T* sums) {
    constexpr int L = WIDTH<T>;
    Vector<T> total[R] = {};
    for (long k = 0; k < ld; k += L) {
        const Vector<T> factor = column ? load(column + k) : all(T(1));
        for (int r = 0; r < R; r++) total[r] += load(plan + r * ld + k) * factor;
    }
    Vector<T> row[R];
    for (int r = 0; r < R; r++) row[r] = all(T(1) / sum_of(total[r]));
    for (long k = 0; k < ld; k += L) {
        Vector<T> sum = load(sums + k);
        for (int r = 0; r < R; r++) sum += row[r] * load(plan + r * ld + k);
        store(sums + k, sum);
    }
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
        long s = 0;
        for (; s + ROWS_SWEPT <= S; s += ROWS_SWEPT) {
            if (round == 0) take_exponentials<T, ROWS_SWEPT>(costs + s * ld, ld, factor, inside, plan + s * ld);
            balance<T, ROWS_SWEPT>(plan + s * ld, ld, round ? column : nullptr, sums);
        }
        for (; s < S; s++) {
            if (round == 0) take_exponentials<T, 1>(costs + s * ld, ld, factor, inside, plan + s * ld);
            balance<T, 1>(plan + s * ld, ld, round ? column : nullptr, sums);
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
                const T row = 1 / weight_of(k, end_[s], column.data());
                for (long e = k; e < end_[s]; e++) sums_[where_[e]] += row * weight_[e];
            }
            for (long t = 0; t < S; t++) column[t] = 1 / sums_[t];
        }
        for (long t = 0; t < S; t++) start[t] = T(entropy * std::log(double(column[t])));
    }

  private:
    static constexpr double NEGLIGIBLE = 6;  // entropies; to take more entries costs more than they save
    static constexpr long MOST = 256;        // entries of a row; more are ties, and some of them do
    std::vector<T> weight_, sums_;
    std::vector<int32_t> where_;
    std::vector<long> end_;  // of each row

    // The entries of a row, times the factors of their columns; several sums, as one would wait for itself.
    T weight_of(long from, long to, const T* column) const {
        T sum[4] = {T(1e-30)};
        long e = from;
        for (; e + 4 <= to; e += 4)
            for (int k = 0; k < 4; k++) sum[k] += weight_[e + k] * column[where_[e + k]];
        for (; e < to; e++) sum[0] += weight_[e] * column[where_[e]];
        return (sum[0] + sum[1]) + (sum[2] + sum[3]);
    }

    // Take the entries of weight, of each row from another column on: where all are alike, rows take others.
    void take(const T* costs, long S, long ld, double entropy) {
        constexpr int L = WIDTH<T>;
        const T most = T(NEGLIGIBLE * entropy), factor = T(-1 / entropy);
        end_.resize(S);
        where_.resize(S * (MOST + L) + L);
        weight_.resize(where_.size());
        long n = 0;
        for (long s = 0; s < S; s++) {
            const T* row = costs + s * ld;
            const long first = n;
            long k = s * L % ld;
            for (long step = 0; step < ld && n < first + MOST; step += L, k = k + L < ld ? k + L : 0)
                n += places_below<T>(row + k, most, int32_t(k), where_.data() + n);
            for (long e = first; e < n; e++) weight_[e] = row[where_[e]];
            for (long e = first; e < n; e += L) store(weight_.data() + e, exp_of<T>(load(weight_.data() + e) * factor));
            end_[s] = n;
        }
    }
};

}  // namespace semrsm
