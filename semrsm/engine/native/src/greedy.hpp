// Greedy matching: rows, in order of their largest affinity, each take the best column that is still free.
#pragma once

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include "simd.hpp"

namespace semrsm {

// The largest of row + taken, (S,) each.
template <class T> T largest_free(const T* row, const T* taken, long S) {
    Vector<T> most = all(-std::numeric_limits<T>::infinity());
    long t = 0;
    for (; t + WIDTH<T> <= S; t += WIDTH<T>) most = greatest(most, load(row + t) + load(taken + t));
    T largest = folded(most, [](auto a, auto b) { return greatest(a, b); });
    for (; t < S; t++) largest = std::max(largest, row[t] + taken[t]);
    return largest;
}

// Write the permutation of affinity (S, S); of equal affinities the lower row chooses and the lower column is taken.
template <class T> void match_greedily(const T* affinity, long S, int64_t* permutation) {
    std::vector<T> taken(S, 0), most(S);  // -inf once a column is taken
    std::vector<int32_t> order(S);
    for (long s = 0; s < S; s++) most[s] = largest_free(affinity + s * S, taken.data(), S);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return most[a] > most[b]; });
    for (const int32_t s : order) {
        const T* row = affinity + s * S;
        const T best = largest_free(row, taken.data(), S);
        long t = 0;
        while (row[t] + taken[t] != best) t++;
        taken[t] = -std::numeric_limits<T>::infinity();
        permutation[s] = t;
    }
}

}  // namespace semrsm
