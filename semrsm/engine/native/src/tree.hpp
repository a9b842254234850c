// Feature trees: the positions of a sample in groups of similar ones, coarse to fine; engine/bisection.py in C++.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "simd.hpp"

namespace semrsm {

constexpr int POWER_ITERATIONS = 3;  // a split needs a direction of large variance, not exactly the largest

template <class T> class Tree {
  public:
    // Find the means of the groups of x (S, C): means[l] is (S / sizes[0] * sizes[0] / sizes[l], C).
    //
    // Balanced bisection: vectors are sorted along the direction in which they vary most and cut into halves
    // of whole groups. The S mod sizes[0] positions of smallest norm belong to no group.
    void grow(const T* x, long S, long C, const int64_t* sizes, long n_sizes, T* const* means) {
        C_ = C;
        ld_ = padded<T>(C);
        const long kept = S / sizes[0] * sizes[0];
        order_by_norm(x, S);
        vectors_.assign(kept * ld_, 0);
        for (long s = 0; s < kept; s++) std::memcpy(&vectors_[s * ld_], x + long(order_[s]) * C, C * sizeof(T));
        nodes_.assign(1, kept);
        for (long l = 0; l < n_sizes; l++) {
            while (*std::max_element(nodes_.begin(), nodes_.end()) > sizes[l]) split(sizes[l]);
            take_means(kept, sizes[l], means[l]);
        }
    }

  private:
    long C_, ld_;
    std::vector<T> vectors_, sorted_;  // (kept, ld) of the positions, in the order of the tree
    std::vector<T> mean_, direction_, next_, along_;
    std::vector<int32_t> order_;
    std::vector<long> nodes_, halves_;  // sizes of the parts, in order

    void order_by_norm(const T* x, long S) {
        along_.resize(S);
        for (long s = 0; s < S; s++) {
            along_[s] = 0;
            for (long c = 0; c < C_; c++) along_[s] -= x[s * C_ + c] * x[s * C_ + c];
        }
        order_along(S);
    }

    // Put the numbers 0 ... n-1 in the order of `along_`; of equal ones the lower comes first.
    void order_along(long n) {
        order_.resize(n);
        std::iota(order_.begin(), order_.end(), 0);
        std::stable_sort(order_.begin(), order_.end(), [&](int32_t a, int32_t b) { return along_[a] < along_[b]; });
    }

    // Cut every part of two groups or more into halves of whole groups.
    void split(long size) {
        halves_.clear();
        long first = 0;
        for (const long n : nodes_) {
            const long half = n / size / 2 * size;
            if (half) {
                sort_part(first, n);
                halves_.push_back(half);
            }
            halves_.push_back(n - half);
            first += n;
        }
        nodes_.swap(halves_);
    }

    void sort_part(long first, long n) {
        T* part = &vectors_[first * ld_];
        project(part, n);
        order_along(n);
        sorted_.assign(part, part + n * ld_);
        for (long k = 0; k < n; k++) std::memcpy(part + k * ld_, &sorted_[order_[k] * ld_], ld_ * sizeof(T));
    }

    // Project vectors (n, ld) on about their direction of largest variance.
    void project(const T* part, long n) {
        constexpr int L = WIDTH<T>;
        mean_.assign(ld_, 0);
        for (long k = 0; k < n; k++) add(part + k * ld_, T(1), mean_);
        for (long c = 0; c < ld_; c += L) store(&mean_[c], load(&mean_[c]) * T(1.0 / n));
        along_.resize(n);
        long far = 0;
        for (long k = 0; k < n; k++) {
            Vector<T> sum{};
            for (long c = 0; c < ld_; c += L) {
                const Vector<T> d = load(part + k * ld_ + c) - load(&mean_[c]);
                sum += d * d;
            }
            along_[k] = sum_of(sum);
            if (along_[k] > along_[far]) far = k;
        }
        direction_.assign(part + far * ld_, part + (far + 1) * ld_);
        add(mean_.data(), T(-1), direction_);
        for (int round = 0; round < POWER_ITERATIONS; round++) {
            // A unit vector each time, or tiny activations vanish.
            const T norm = std::sqrt(dot_of(direction_.data(), direction_.data()));
            const T scale = 1 / std::max(norm, T(1e-30));
            for (long c = 0; c < ld_; c += L) store(&direction_[c], load(&direction_[c]) * scale);
            const T offset = dot_of(mean_.data(), direction_.data());
            next_.assign(ld_, 0);
            T total = 0;
            for (long k = 0; k < n; k++) {
                along_[k] = dot_of(part + k * ld_, direction_.data()) - offset;
                add(part + k * ld_, along_[k], next_);
                total += along_[k];
            }
            add(mean_.data(), -total, next_);
            direction_.swap(next_);
        }
        for (long k = 0; k < n; k++) along_[k] = dot_of(part + k * ld_, direction_.data());
    }

    // Add a vector, times a factor, to another one, (ld,) each.
    void add(const T* vector, T factor, std::vector<T>& to) const {
        for (long c = 0; c < ld_; c += WIDTH<T>) store(&to[c], load(&to[c]) + load(vector + c) * factor);
    }

    T dot_of(const T* a, const T* b) const {
        Vector<T> sum{};
        for (long c = 0; c < ld_; c += WIDTH<T>) sum += load(a + c) * load(b + c);
        return sum_of(sum);
    }

    void take_means(long kept, long size, T* means) {
        for (long k = 0; k < kept; k += size, means += C_) {
            mean_.assign(ld_, 0);
            for (long r = 0; r < size; r++) add(&vectors_[(k + r) * ld_], T(1), mean_);
            for (long c = 0; c < C_; c++) means[c] = mean_[c] / T(size);
        }
    }
};

}  // namespace semrsm
