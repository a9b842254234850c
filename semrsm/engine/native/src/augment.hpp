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
        x.assign(S, -1);
        y.assign(ld, -1);
        free_.clear();
        for (long s = 0; s < S; s++)
            if (!take_free_zero(costs + s * ld, s, ld)) free_.push_back(int32_t(s));
        for (const int32_t s : free_) augment(costs, s, ld);
    }

  private:
    static constexpr T CLOSED = std::numeric_limits<T>::quiet_NaN();  // neither shorter nor nearer than anything
    std::vector<T> distance_;  // of a column; CLOSED once its row is scanned
    std::vector<int32_t> free_;
    std::vector<int32_t> scanned_, closed_;  // the rows of the tree, and the columns after them
    std::vector<T> base_, reached_;          // what is added to the costs of a row; distances of the columns

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
        for (long k = 0; k < ld; k += WIDTH<T>) store(distance_.data() + k, all(BIG<T>));
        scanned_.clear();
        closed_.clear();
        base_.clear();
        reached_.clear();
        T base = 0;
        for (int32_t i = s;;) {
            scanned_.push_back(i);
            base_.push_back(base);
            T nearest;
            const long t = relax(costs + i * ld, base, ld, &nearest);
            closed_.push_back(int32_t(t));
            reached_.push_back(nearest);
            if (y[t] < 0) break;
            distance_[t] = CLOSED;
            i = y[t];
            base = nearest - (costs[i * ld + t] - v[t]);
        }
        flip(costs, s, ld);
        for (size_t k = 0; k < closed_.size(); k++) v[closed_[k]] += std::min(T(0), reached_[k] - reached_.back());
    }

    // Match along the path that ends at the column reached last. The row before a column is the first
    // whose costs gave the column its distance: to look for it takes less than to note it in every scan.
    void flip(const T* costs, int32_t s, long ld) {
        for (size_t at = closed_.size() - 1;;) {
            const int32_t t = closed_[at];
            size_t k = 0;
            while (k < at && costs[scanned_[k] * ld + t] - v[t] + base_[k] != reached_[at]) k++;
            const int32_t row = scanned_[k];
            x[row] = t;
            y[t] = row;
            if (row == s) break;
            at = k - 1;  // the column by which the row was reached
        }
    }

    // Shorten the distances of the open columns by way of a row; returns the nearest open column.
    long relax(const T* row, T base, long ld, T* nearest) {
        constexpr int L = WIDTH<T>;
        const Vector<T> b = all(base);
        Vector<T> smallest = all(BIG<T>);
        Index<T> where{};
        for (long k = 0; k < ld; k += L) {
            const Vector<T> through = load(row + k) - load(v.data() + k) + b;
            const Vector<T> d = least(through, load(distance_.data() + k));
            store(distance_.data() + k, d);
            const Index<T> nearer = d < smallest;
            smallest = nearer ? d : smallest;
            where = nearer ? (typename Lanes<T>::Integer)(k) - Index<T>{} : where;
        }
        *nearest = least_of(smallest);
        const Index<T> at = smallest == all(*nearest);
        const Index<T> none = (typename Lanes<T>::Integer)(ld) - Index<T>{};
        return long(least_of(at ? where + counted<T>() : none));
    }
};

}  // namespace semrsm
