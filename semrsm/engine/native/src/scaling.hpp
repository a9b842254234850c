// Cost scaling (a Gauss-Seidel auction with falling eps; Bertsekas 1988) on short lists of each row.
//
// The list of a row holds the entries whose cost - v lay below a threshold when the list was made. Prices v
// only fall, so what a list leaves out stays above the threshold: bids below it are those of the dense
// problem, and a row whose bids reach it makes its list anew. At the end c - u - v >= -eps for all entries.
#pragma once

#include <cmath>
#include <vector>

#include "simd.hpp"

namespace semrsm {

template <class T> struct Scaling {
    std::vector<double> v;   // (S,) column potentials
    std::vector<int32_t> x;  // (S,) column of each row

    // Solve costs (S, ld) of this mean, row minima about zero. False: too many positions are alike, and the
    // work exceeds what another solver takes.
    bool solve(const T* costs, long S, long ld, double mean) {
        begin(costs, S, ld, mean);
        for (double eps = FIRST_EPS;; eps = std::max(eps / EPS_STEP, LAST_EPS)) {
            if (!auction(eps * mean_)) return false;
            if (eps <= LAST_EPS) return true;
        }
    }

  private:
    static constexpr int MOST = 32, LEAST = 6, MANY = 20, FEW = 10;  // entries of a list
    static constexpr double FIRST_EPS = 0.003, EPS_STEP = 10;  // of the mean cost
    static constexpr double LAST_EPS = sizeof(T) == 4 ? 5e-8 : 1e-12;
    static constexpr int MOST_BIDS = 150, MOST_LISTS = 20;  // for each row

    struct Bid {
        double best, second;
        int32_t column;
        T cost;
    };

    const T* costs_;
    long S_, ld_, bids_, lists_;
    double mean_;
    std::vector<T> entry_, price_, key_, threshold_, width_, own_;
    std::vector<int32_t> column_, length_, owner_, free_;

    void begin(const T* costs, long S, long ld, double mean) {
        costs_ = costs, S_ = S, ld_ = ld, bids_ = lists_ = 0;
        mean_ = std::max(mean, 1e-30);
        v.assign(S, 0);
        x.assign(S, -1);
        owner_.assign(S, -1);
        price_.assign(ld, 0);
        key_.resize(ld);
        entry_.resize(S * MOST);
        column_.resize(S * MOST);
        length_.resize(S);
        threshold_.resize(S);
        own_.resize(S);
        width_.assign(S, T(0.05 * mean_));
        for (long s = 0; s < S; s++) {
            if (s) width_[s] = width_[s - 1];
            list(int32_t(s));
        }
    }

    // Match every row so that it pays at most eps more than it must; false if that takes too long.
    bool auction(double eps) {
        free_.clear();
        for (int32_t i = int32_t(S_) - 1; i >= 0; i--) {
            if (x[i] >= 0) {
                if (own_[i] - v[x[i]] <= bid_of(i, eps).best + eps) continue;
                owner_[x[i]] = -1;
                x[i] = -1;
            }
            free_.push_back(i);
        }
        while (!free_.empty()) {
            int32_t i = free_.back();
            free_.pop_back();
            while (i >= 0) {
                const Bid bid = bid_of(i, eps);
                v[bid.column] -= bid.second - bid.best + eps;
                price_[bid.column] = T(v[bid.column]);
                const int32_t out = owner_[bid.column];
                owner_[bid.column] = i;
                x[i] = bid.column;
                own_[i] = bid.cost;
                if (out >= 0) x[out] = -1;
                i = out;
                if (++bids_ > MOST_BIDS * S_ || lists_ > MOST_LISTS * S_) return false;
            }
        }
        return true;
    }

    // The cheapest column of a row and what the second cheapest costs, as far as the list knows.
    Bid bid_of(int32_t i, double eps) {
        for (bool again = false;; again = true) {
            Bid bid = cheapest(i);
            const double known = threshold_[i];
            if (bid.second <= known) return bid;
            if (bid.best + eps <= known || again) {
                bid.second = std::max(bid.best, std::min(bid.second, known));
                return bid;
            }
            list(i);
        }
    }

    Bid cheapest(int32_t i) const {
        const T* cost = entry_.data() + long(i) * MOST;
        const int32_t* column = column_.data() + long(i) * MOST;
        double best = BIG<double>, second = BIG<double>;
        int at = 0;
        for (int k = 0; k < length_[i]; k++) {
            const double h = double(cost[k]) - v[column[k]];
            second = std::min(second, std::max(best, h));
            at = h < best ? k : at;
            best = std::min(best, h);
        }
        return {best, second, column[at], cost[at]};
    }

    // Make the list of a row anew, with a threshold that leaves it neither too short nor too long.
    void list(int32_t i) {
        lists_++;
        const T least = keys_of(i);
        T width = width_[i], low = 0, high = 0;
        int n = 0;
        for (int attempt = 0; attempt < 40; attempt++) {
            n = take(i, least + width);
            if (n > MOST) {
                high = width;
                width = low > 0 ? (low + high) / 2 : width * T(0.6);
                if (!(least + width > least)) break;
            } else if (n < LEAST && n < S_) {
                low = width;
                width = high > 0 ? (low + high) / 2 : width * 2;
            } else {
                break;
            }
        }
        if (n == 0 || n > MOST) {  // ties beyond the length of a list
            n = take_ties(i, least);
            width = 0;
        }
        length_[i] = n;
        const T unsure = 4 * std::numeric_limits<T>::epsilon() * (std::abs(least) + width);
        threshold_[i] = n >= S_ ? BIG<T> : least + width - unsure;
        if (n > MANY) width *= T(0.8);
        if (n < FEW) width *= T(1.25);
        width_[i] = std::max(width, T(1e-6 * mean_));
    }

    // Put cost - v of a whole row into key_; returns the least of it.
    T keys_of(int32_t i) {
        const T* row = costs_ + i * ld_;
        Vector<T> least_key = all(BIG<T>);
        for (long k = 0; k < ld_; k += WIDTH<T>) {
            const Vector<T> key = load(row + k) - load(price_.data() + k);
            store(key_.data() + k, key);
            least_key = least(least_key, key);
        }
        return least_of(least_key);
    }

    // Put the entries below a threshold into the list; returns how many, or more than MOST.
    int take(int32_t i, T below) {
        int n = 0;
        for (long k = 0; k < ld_; k += WIDTH<T>) {
            if (!(least_of(load(key_.data() + k)) < below)) continue;
            for (long t = k; t < k + WIDTH<T>; t++) {
                if (!(key_[t] < below)) continue;
                if (n == MOST) return MOST + 1;
                put(i, n++, t);
            }
        }
        return n;
    }

    // Some of the cheapest entries, which are more than a list holds, others each time.
    int take_ties(int32_t i, T least) {
        int n = 0;
        const long first = long((i * 2654435761ull + lists_ * 40503ull) % uint64_t(S_));
        for (long k = 0; k < S_ && n < MOST; k++) {
            const long t = (first + k) % S_;
            if (key_[t] <= least) put(i, n++, t);
        }
        return n;
    }

    void put(int32_t i, int n, long t) {
        entry_[long(i) * MOST + n] = costs_[i * ld_ + t];
        column_[long(i) * MOST + n] = int32_t(t);
    }
};

}  // namespace semrsm
