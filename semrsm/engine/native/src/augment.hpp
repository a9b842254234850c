// Shortest augmenting paths (Jonker & Volgenant 1987, doi:10.1007/BF02278710) on dense costs that are
// almost reduced: a start where every row takes a free column of cost zero, a path for each row left.
#pragma once

#include <vector>

#include "simd.hpp"

namespace semrsm {

template <class T> struct Augmenting {
    std::vector<T> v;          // (ld,) column potentials
    std::vector<int32_t> x;    // (S,) column of each row
    std::vector<int32_t> y;    // (ld,) row of each column, -1 while it is free

    // Solve costs (S, ld), ld a multiple of WIDTH, BIG beyond S, row minima about zero.
    void solve(const T* costs, long S, long ld) {
        v.assign(ld, 0);
        distance_.resize(ld);
        from_.resize(ld);
        x.assign(S, -1);
        y.assign(ld, -1);
        free_.clear();
        for (long s = 0; s < S; s++)
            if (!take_free_zero(costs + s * ld, s, ld)) free_.push_back(int32_t(s));
        for (const int32_t s : free_) augment(costs, s, ld);
    }

  private:
    std::vector<T> distance_;                           // of a column; -BIG once it is closed
    std::vector<typename Lanes<T>::Integer> from_;      // the row before a column on its path
    std::vector<int32_t> free_, closed_;
    std::vector<T> closed_distance_;

    bool take_free_zero(const T* row, long s, long ld) {
        for (long k = 0; k < ld; k += WIDTH<T>) {
            if (!(least_of(load(row + k)) <= 0)) continue;
            for (long t = k; t < k + WIDTH<T>; t++)
                if (row[t] <= 0 && y[t] < 0) {
                    x[s] = int32_t(t);
                    y[t] = int32_t(s);
                    return true;
                }
        }
        return false;
    }

    // Dijkstra's algorithm from the free row s to the nearest free column.
    void augment(const T* costs, int32_t s, long ld) {
        constexpr int L = WIDTH<T>;
        for (long k = 0; k < ld; k += L) store(distance_.data() + k, all(BIG<T>));
        closed_.clear();
        closed_distance_.clear();
        int32_t i = s;
        long sink;
        T reached, base = 0;
        for (;;) {
            const long t = relax(costs + i * ld, i, base, ld, &reached);
            if (y[t] < 0) {
                sink = t;
                break;
            }
            closed_.push_back(int32_t(t));
            closed_distance_.push_back(reached);
            distance_[t] = -BIG<T>;
            i = y[t];
            base = reached - (costs[i * ld + t] - v[t]);
        }
        for (size_t k = 0; k < closed_.size(); k++)
            v[closed_[k]] += std::min(T(0), closed_distance_[k] - reached);
        for (long t = sink;;) {
            const int32_t row = int32_t(from_[t]);
            const int32_t before = x[row];
            x[row] = int32_t(t);
            y[t] = row;
            if (row == s) break;
            t = before;
        }
    }

    // Shorten the distances of the open columns by way of row i; returns the nearest open column.
    long relax(const T* row, int32_t i, T base, long ld, T* nearest) {
        constexpr int L = WIDTH<T>;
        const Vector<T> b = all(base);
        const Index<T> by = i - Index<T>{};
        Vector<T> smallest = all(BIG<T>);
        Index<T> where{};
        for (long k = 0; k < ld; k += L) {
            const Vector<T> through = load(row + k) - load(v.data() + k) + b;
            Vector<T> d = load(distance_.data() + k);
            Index<T> from;
            std::memcpy(&from, from_.data() + k, sizeof from);
            const Index<T> shorter = through < d;
            d = shorter ? through : d;
            from = shorter ? by : from;
            store(distance_.data() + k, d);
            std::memcpy(from_.data() + k, &from, sizeof from);
            const Vector<T> open = d > all(-BIG<T>) ? d : all(BIG<T>);
            const Index<T> nearer = open < smallest;
            smallest = nearer ? open : smallest;
            where = nearer ? (typename Lanes<T>::Integer)(k) - Index<T>{} : where;
        }
        *nearest = least_of(smallest);
        const Index<T> at = smallest == all(*nearest);
        const Index<T> none = (typename Lanes<T>::Integer)(ld) - Index<T>{};
        return long(least_of(at ? where + counted<T>() : none));
    }
};

}  // namespace semrsm
