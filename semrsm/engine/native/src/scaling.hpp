// Cost scaling (a Gauss-Seidel auction with falling eps; Bertsekas 1988) on short lists of each row.
//
// The list of a row holds the entries whose cost - v lay below a threshold when the list was made. Prices v
// only fall, so what a list leaves out stays above the threshold: bids below it are those of the dense
// problem, and a row whose bids reach it makes its list anew. At the end c - u - v >= -eps for all entries.
// Rows of large problems have a second, longer list, so that whole rows are seldom read.
#pragma once

#include <cmath>
#include <vector>

#include "simd.hpp"

namespace semrsm {

template <class T> struct Scaling {
    std::vector<double> v;   // (S,) column potentials
    std::vector<int32_t> x;  // (S,) column of each row

    // Solve costs (S, ld) of this mean from prices `start` (S,). False: too many positions are alike, and
    // the work exceeds what another solver takes.
    bool solve(const T* costs, long S, long ld, double mean, const T* start) {
        begin(costs, S, ld, mean, start);
        for (double eps = FIRST_EPS;; eps = std::max(eps / EPS_STEP, LAST_EPS)) {
            if (!auction(eps * mean_)) return false;
            if (eps <= LAST_EPS) return true;
        }
    }

  private:
    // Entries of a list: at most, at least, and between which its width is left as it is.
    struct Length {
        int most, least, many, few;
    };
    static constexpr Length OWN{32, 6, 20, 10}, NEAR{256, 64, 200, 100};
    static constexpr long NEAR_FROM = 1500;  // positions; below, whole rows are read quickly
    static constexpr double FIRST_EPS = 0.003, EPS_STEP = 10;  // of the mean cost
    static constexpr double LAST_EPS = sizeof(T) == 4 ? 5e-8 : 1e-12;
    static constexpr int MOST_BIDS = 600, MOST_LISTS = 40;  // for each row

    struct Bid {
        double best, second;
        int32_t column;
        T cost;
    };

    // The cheapest entries of every row, as they were when the list of the row was made.
    struct Lists {
        Length length;
        std::vector<T> cost, threshold, width;
        std::vector<int32_t> column, count;

        void begin(Length of, long S, T first_width) {
            length = of;
            cost.resize(S * of.most);
            column.resize(S * of.most);
            count.resize(S);
            threshold.resize(S);
            width.assign(S, first_width);
        }
    };

    const T* costs_;
    long S_, ld_, bids_, lists_;
    double mean_;
    bool has_near_;
    Lists own_lists_, near_lists_;
    std::vector<T> price_, key_, own_;
    std::vector<int32_t> owner_, free_, picked_;

    void begin(const T* costs, long S, long ld, double mean, const T* start) {
        costs_ = costs, S_ = S, ld_ = ld, bids_ = lists_ = 0;
        mean_ = std::max(mean, 1e-30);
        has_near_ = S >= NEAR_FROM;
        v.assign(start, start + S);
        price_.assign(start, start + S);
        price_.resize(ld, 0);
        x.assign(S, -1);
        owner_.assign(S, -1);
        own_.resize(S);
        key_.resize(std::max<long>(ld, NEAR.most));
        picked_.resize(NEAR.most + 2 * WIDTH<T>);
        own_lists_.begin(OWN, S, T(0.05 * mean_));
        if (has_near_) near_lists_.begin(NEAR, S, T(0.2 * mean_));
        for (long s = 0; s < S; s++) {
            if (s) own_lists_.width[s] = own_lists_.width[s - 1];
            if (s && has_near_) near_lists_.width[s] = near_lists_.width[s - 1];
            if (has_near_) list_from_row(near_lists_, s);
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
            const double known = own_lists_.threshold[i];
            if (bid.second <= known) return bid;
            if (bid.best + eps <= known || again) {
                bid.second = std::max(bid.best, std::min(bid.second, known));
                return bid;
            }
            list(i);
        }
    }

    Bid cheapest(int32_t i) const {
        const T* cost = own_lists_.cost.data() + long(i) * OWN.most;
        const int32_t* column = own_lists_.column.data() + long(i) * OWN.most;
        double best = BIG<double>, second = BIG<double>;
        int at = 0;
        for (int k = 0; k < own_lists_.count[i]; k++) {
            const double h = double(cost[k]) - v[column[k]];
            second = std::min(second, std::max(best, h));
            at = h < best ? k : at;
            best = std::min(best, h);
        }
        return {best, second, column[at], cost[at]};
    }

    // Make the list of a row anew: from the near entries if they go far enough, else from the whole row.
    void list(int32_t i) {
        lists_++;
        if (!has_near_) {
            list_from_row(own_lists_, i);
            return;
        }
        for (bool again = false;; again = true) {
            const T least = keys_of_near(i), room = near_lists_.threshold[i] - least;
            if (again || room > T(0.15) * own_lists_.width[i]) {
                pick(own_lists_, i, near_lists_.count[i], least, std::max(room, T(0)),
                     near_lists_.cost.data() + long(i) * NEAR.most,
                     near_lists_.column.data() + long(i) * NEAR.most);
                return;
            }
            list_from_row(near_lists_, i);
        }
    }

    void list_from_row(Lists& lists, long i) {
        pick(lists, i, S_, keys_of_row(i), BIG<T>, costs_ + i * ld_, nullptr);
    }

    // Put cost - v of a whole row into key_; returns the least of it.
    T keys_of_row(long i) {
        const T* row = costs_ + i * ld_;
        Vector<T> least_key = all(BIG<T>);
        for (long k = 0; k < ld_; k += WIDTH<T>) {
            const Vector<T> key = load(row + k) - load(price_.data() + k);
            store(key_.data() + k, key);
            least_key = least(least_key, key);
        }
        return least_of(least_key);
    }

    // The same of the near entries of a row.
    T keys_of_near(long i) {
        const T* __restrict cost = near_lists_.cost.data() + i * NEAR.most;
        const int32_t* __restrict column = near_lists_.column.data() + i * NEAR.most;
        const T* __restrict price = price_.data();
        T* __restrict key = key_.data();
        const int n = near_lists_.count[i];
        for (int k = 0; k < n; k++) key[k] = cost[k] - price[column[k]];
        for (long k = n; k < padded<T>(n); k++) key[k] = BIG<T>;
        Vector<T> least_key = all(BIG<T>);
        for (int k = 0; k < n; k += WIDTH<T>) least_key = least(least_key, load(key + k));
        return least_of(least_key);
    }

    // Make a list of the keys below a threshold that leaves it neither too short nor too long; what is left
    // out is at least `room` above the least key.
    void pick(Lists& lists, long i, long n_keys, T least, T room, const T* costs, const int32_t* columns) {
        T width = std::min(lists.width[i], room), low = 0, high = 0;
        const Length length = lists.length;
        int n = 0;
        for (int attempt = 0; attempt < 40; attempt++) {
            n = take(n_keys, least + width, length.most);
            if (n > length.most) {
                high = width;
                width = low > 0 ? (low + high) / 2 : width * T(0.6);
                if (!(least + width > least)) break;
            } else if (n < length.least && n < n_keys && width < room) {
                low = width;
                width = std::min(room, high > 0 ? (low + high) / 2 : width * 2 + T(1e-30));
            } else {
                break;
            }
        }
        if (n == 0 || n > length.most) {  // ties beyond the length of a list
            n = take_ties(n_keys, least, length.most, i);
            width = 0;
        }
        for (int k = 0; k < n; k++) {
            lists.cost[i * length.most + k] = costs[picked_[k]];
            lists.column[i * length.most + k] = columns ? columns[picked_[k]] : picked_[k];
        }
        lists.count[i] = n;
        const T unsure = 4 * std::numeric_limits<T>::epsilon() * (std::abs(least) + width);
        const bool whole = n >= n_keys && !(room < BIG<T>);
        lists.threshold[i] = whole ? BIG<T> : least + width - unsure;
        if (n > length.many) width *= T(0.8);
        if (n < length.few && width < room) width *= T(1.25);
        lists.width[i] = std::max(width, T(1e-6 * mean_));
    }

    // Pick the keys below a threshold; returns how many, or more than `most`.
    int take(long n_keys, T below, int most) {
        int n = 0;
        for (long k = 0; k < n_keys; k += WIDTH<T>) {
            n += places_below<T>(key_.data() + k, below, int32_t(k), picked_.data() + n);
            if (n > most) return most + 1;
        }
        return n;
    }

    // Pick some of the least keys, which are more than a list holds, others each time.
    int take_ties(long n_keys, T least, int most, long i) {
        int n = 0;
        const long first = long((uint64_t(i) * 2654435761u + uint64_t(lists_) * 40503u) % uint64_t(n_keys));
        for (long k = 0; k < n_keys && n < most; k++) {
            const long t = (first + k) % n_keys;
            if (key_[t] <= least) picked_[n++] = int32_t(t);
        }
        return n;
    }
};

}  // namespace semrsm
