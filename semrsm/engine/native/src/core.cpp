// Exact matching of pairs of samples: from their positions to the largest sum of matched products.
//
// One call takes a chunk of pairs and runs in the calling thread; a pair stays in the cache from the
// product to the proof. Plain functions on arrays behind a C interface.

#include <iterator>

#include "augment.hpp"
#include "dot.hpp"
#include "greedy.hpp"
#include "product.hpp"
#include "scaling.hpp"
#include "sinkhorn.hpp"
#include "tree.hpp"

namespace semrsm {

constexpr long MOST_DENSE = 400;         // positions; above, sparse plans and cost scaling take less
constexpr int OPERATIONS = 32;           // at most, that round a cost after its product
constexpr long CACHED = 200 << 10;       // bytes of costs that stay in the cache beside what they come from
constexpr double COLD[] = {0.15, 0.04};  // entropies where no potentials are known

// One level of a block of samples: the means of groups of positions, or at last the positions.
template <class T> struct Level {
    const T* values;  // (n, S, C)
    const T* packed;  // what `pack` made of each; not needed of row samples
    const double* norms;  // (n, S) of the positions; not needed of means
    long S;
};

template <class T> struct Workspace {
    std::vector<T> costs, plan, column, sums, bias;
    std::vector<T> start;  // prices of the columns that are not part of the costs yet
    std::vector<double> u, v;
    std::vector<double> minima;   // of the rows, costs less potentials
    std::vector<double> matched;  // products of matched positions
    SparsePlan<T> sparse;
    Augmenting<T> augmenting;
    Scaling<T> scaling;
    std::vector<int32_t> permutation;  // that was found
    std::vector<T> potentials;         // of the columns, beside v, that prove it
};

// Make start prices part of the costs and of v, and the row minima zero: what augmenting paths begin with.
template <class T> void add_to_columns(Workspace<T>& w, long S, long ld) {
    for (long s = 0; s < S; s++)
        for (long t = 0; t < S; t++) w.costs[s * ld + t] -= w.start[t];
    for (long t = 0; t < S; t++) w.v[t] -= w.start[t];
    tighten(w.costs.data(), S, S, ld, w.u.data());
}

// Solve the reduced costs in the workspace; returns how many were handed from solver to solver.
template <class T> int solve(Workspace<T>& w, long S, long ld, double mean) {
    const bool large = S > MOST_DENSE;
    if (large && w.scaling.solve(w.costs.data(), S, ld, mean, w.start.data())) {
        w.permutation = w.scaling.x;
        w.potentials.assign(ld, 0);
        for (long t = 0; t < S; t++) w.potentials[t] = T(w.scaling.v[t]);
        return 0;
    }
    if (large) add_to_columns(w, S, ld);
    w.augmenting.solve(w.costs.data(), S, ld);
    w.permutation = w.augmenting.x;
    w.potentials = w.augmenting.v;
    return large;
}

// How many rows of costs are made at a time; whole blocks of the product.
template <class T> long rows_in_cache(long ld) {
    constexpr long rows = 4 * ROWS_AT_ONCE;
    return std::max<long>(1, CACHED / long(sizeof(T)) / ld / rows) * rows;
}

template <class T> void fit(Workspace<T>& w, long S, long ld) {
    w.costs.resize(S * ld);
    w.column.resize(ld);
    w.sums.resize(ld);
    w.u.assign(S, 0);
    w.v.assign(S, 0);
    w.start.assign(S, 0);
    w.minima.resize(S);
    w.matched.resize(S);
}

// Sharpen the reduced costs in the workspace, of this mean, by sweeps; returns their mean after that.
template <class T>
double sharpen(Workspace<T>& w, long S, long ld, double mean, const double* entropies, long n_entropies) {
    T* costs = w.costs.data();
    if (S > MOST_DENSE) {  // costs stay as they are: to go through all of them takes longer than the sweeps
        if (n_entropies) w.sparse.sweep(costs, S, ld, entropies[n_entropies - 1] * mean, w.column, w.start);
        return mean;
    }
    w.plan.resize(S * ld);
    for (long e = 0; e < n_entropies; e++) {
        sweep(costs, S, ld, entropies[e] * mean, w.plan.data(), w.column.data(), w.sums.data(), w.v.data());
        mean = tighten(costs, S, S, ld, w.u.data()) / (double(S) * S);
    }
    return mean;
}

// Reduced costs of a level from column potentials `bias`; returns their mean.
template <class T>
double reduce(Workspace<T>& w, const T* x, const T* y, const T* packed, long S, long C, const T* bias,
              const double* entropies, long n_entropies) {
    const long ld = padded<T>(S), at_once = rows_in_cache<T>(ld);
    fit(w, S, ld);
    if (bias) w.v.assign(bias, bias + S);
    double total = 0;
    for (long first = 0; first < S; first += at_once) {
        const long rows = std::min(at_once, S - first);
        T* costs = w.costs.data() + first * ld;
        costs_of<T>(x + first * C, rows, y, packed, S, C, bias, costs, ld);
        total += tighten(costs, rows, S, ld, w.u.data() + first);
    }
    return sharpen(w, S, ld, total / (double(S) * S), entropies, n_entropies);
}

// Make the row potentials u those that belong to the column potentials found; returns the gap that is left.
template <class T> double finish(Workspace<T>& w, long S, long ld) {
    double gap = 0;
    for (long s = 0; s < S; s++) {
        const T* row = w.costs.data() + s * ld;
        Vector<T> smallest = all(BIG<T>);
        for (long k = 0; k < ld; k += WIDTH<T>)
            smallest = least(smallest, load(row + k) - load(w.potentials.data() + k));
        const double minimum = least_of(smallest);
        w.minima[s] = minimum;
        const long t = w.permutation[s];
        gap += double(row[t]) - w.potentials[t] - minimum;
        w.u[s] -= minimum;
    }
    return gap;
}

// What no matching of x and y (S, C) exceeds, in float64: sum_s max_t (<x_s, y_t> - v_t) + sum_t v_t.
//
// The costs say, up to their rounding, which t can be the largest of a row; those few are computed anew.
// of_x, of_y: (S,) norms of the positions; the products of matched positions are in w.matched.
template <class T>
double bound(Workspace<T>& w, const T* x, const T* y, const double* of_x, const double* of_y, long S,
             long C, long ld) {
    constexpr double unit = std::numeric_limits<T>::epsilon();
    double longest = 0, largest_v = 0, total = 0, size = 0;
    for (long t = 0; t < S; t++) {
        w.v[t] -= w.potentials[t];
        longest = std::max(longest, of_y[t]);
        largest_v = std::max(largest_v, std::abs(w.v[t]) + std::abs(double(w.potentials[t])));
        total += w.v[t];
        size += std::abs(w.v[t]);
    }
    for (long s = 0; s < S; s++) {
        const T* row = w.costs.data() + s * ld;
        const double rounding = unit * (CHANNELS_AT_ONCE + C / CHANNELS_AT_ONCE + OPERATIONS) *
                                (of_x[s] * longest + largest_v + std::abs(w.u[s]));
        const T most = T(w.minima[s] + 2 * rounding);
        const long own = w.permutation[s];
        double u = w.matched[s] - w.v[own];
        for (long k = 0; k < ld; k += WIDTH<T>) {
            if (!(least_of(load(row + k) - load(w.potentials.data() + k)) <= most)) continue;
            for (long t = k; t < std::min(S, k + WIDTH<T>); t++)
                if (t != own && row[t] - w.potentials[t] <= most)
                    u = std::max(u, dot(x + s * C, y + t * C, C) - w.v[t]);
        }
        total += u;
        size += std::abs(u) + of_x[s] * longest;
    }
    return total + (2 * S + C + 8) * std::numeric_limits<double>::epsilon() * size;
}

// Column potentials of a finer level from the row potentials u of a coarser one: max_r <x_r, y_t> - u_r.
template <class T>
void extend(Workspace<T>& w, const T* x, long G, const T* packed, const T* y, long S, long C) {
    const long ld = padded<T>(S), at_once = rows_in_cache<T>(ld);
    w.costs.resize(at_once * ld);
    w.bias.assign(ld, -BIG<T>);
    for (long first = 0; first < G; first += at_once) {
        const long rows = std::min(at_once, G - first);
        costs_of<T>(x + first * C, rows, y, packed, S, C, nullptr, w.costs.data(), ld);
        for (long r = 0; r < rows; r++) {
            const Vector<T> u = all(T(w.u[first + r]));
            for (long k = 0; k < ld; k += WIDTH<T>)
                store(w.bias.data() + k,
                      greatest(load(w.bias.data() + k), -load(w.costs.data() + r * ld + k) - u));
        }
    }
}

// Match pairs of samples; returns how many problems were handed from one solver to the next.
//
// rows, columns: the levels, coarsest first, positions last; pairs: (n_pairs, 2); entropies: of the sweeps,
// in units of the mean cost. Of each pair: sums, gaps (float64), bounds (float64, may be null) and
// permutations (S,) (may be null).
template <class T>
int64_t match(const Level<T>* rows, const Level<T>* columns, long n_levels, long C, const int64_t* pairs,
              long n_pairs, const double* entropies, long n_entropies, double* sums, double* gaps,
              double* bounds, int64_t* permutations) {
    static thread_local Workspace<T> w;
    int64_t handed_over = 0;
    for (long k = 0; k < n_pairs; k++) {
        const long i = pairs[2 * k], j = pairs[2 * k + 1];
        const T* bias = nullptr;
        for (long level = 0; level < n_levels; level++) {
            const long S = columns[level].S, ld = padded<T>(S);
            const T* x = rows[level].values + i * S * C;
            const T* y = columns[level].values + j * S * C;
            const T* packed = columns[level].packed + j * packed_size<T>(S, C);
            const bool cold = level == 0 && n_levels > 1;
            const double mean = reduce(w, x, y, packed, S, C, bias, cold ? COLD : entropies,
                                       cold ? std::size(COLD) : n_entropies);
            handed_over += solve(w, S, ld, mean);
            const double gap = finish(w, S, ld);
            if (level + 1 < n_levels) {
                const Level<T>& next = columns[level + 1];
                extend(w, x, S, next.packed + j * packed_size<T>(next.S, C), next.values + j * next.S * C,
                       next.S, C);
                bias = w.bias.data();
                continue;
            }
            gaps[k] = gap;
            sums[k] = 0;
            for (long s = 0; s < S; s++)
                sums[k] += w.matched[s] = dot(x + s * C, y + w.permutation[s] * C, C);
            if (bounds)
                bounds[k] = bound(w, x, y, rows[level].norms + i * S, columns[level].norms + j * S, S, C, ld);
            if (permutations)
                for (long s = 0; s < S; s++) permutations[k * S + s] = w.permutation[s];
        }
    }
    return handed_over;
}

// Permutations (n, S) that minimise the sums of costs (n, S, S); returns how many were handed over.
template <class T> int64_t minimise(const T* costs, long n, long S, int64_t* permutations) {
    static thread_local Workspace<T> w;
    const long ld = padded<T>(S);
    int64_t handed_over = 0;
    for (long k = 0; k < n; k++) {
        fit(w, S, ld);
        for (long s = 0; s < S; s++) {
            std::memcpy(&w.costs[s * ld], costs + (k * S + s) * S, S * sizeof(T));
            for (long t = S; t < ld; t++) w.costs[s * ld + t] = BIG<T>;
        }
        const double mean = tighten(w.costs.data(), S, S, ld, w.u.data()) / (double(S) * S);
        handed_over += solve(w, S, ld, sharpen(w, S, ld, mean, COLD, std::size(COLD)));
        for (long s = 0; s < S; s++) permutations[k * S + s] = w.permutation[s];
    }
    return handed_over;
}

// Grow the trees of n samples x (n, S, C); means holds (n, G_l, C) of every level, one level after the other.
template <class T>
void grow(const T* x, long n, long S, long C, const int64_t* sizes, long n_sizes, T* means) {
    static thread_local Tree<T> tree;
    const long kept = S / sizes[0] * sizes[0];
    std::vector<T*> levels(n_sizes);
    for (long i = 0; i < n; i++) {
        T* level = means;
        for (long l = 0; l < n_sizes; l++) {
            const long numbers = kept / sizes[l] * C;
            levels[l] = level + i * numbers;
            level += n * numbers;
        }
        tree.grow(x + i * S * C, S, C, sizes, n_sizes, levels.data());
    }
}

}  // namespace semrsm

#define SEMRSM_EXPORT extern "C" __attribute__((visibility("default")))

// Which of the targets avx512 (0), avx2 (1), baseline (2) this processor runs fastest.
SEMRSM_EXPORT int64_t semrsm_fastest_target() {
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                      __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512vl");
    return avx2 && avx512 ? 0 : avx2 ? 1 : 2;
#else
    return 2;
#endif
}

#define SEMRSM_FUNCTIONS(T, NAME)                                                                       \
    SEMRSM_EXPORT int64_t semrsm_packed_size_##NAME(int64_t S, int64_t C) {                             \
        return semrsm::packed_size<T>(S, C);                                                            \
    }                                                                                                   \
    SEMRSM_EXPORT int64_t semrsm_pack_##NAME(const T* y, int64_t n, int64_t S, int64_t C, T* out) {     \
        for (int64_t i = 0; i < n; i++)                                                                 \
            semrsm::pack(y + i * S * C, S, C, out + i * semrsm::packed_size<T>(S, C));                  \
        return 0;                                                                                       \
    }                                                                                                   \
    SEMRSM_EXPORT int64_t semrsm_norms_##NAME(const T* x, int64_t n, int64_t C, double* out) {          \
        for (int64_t k = 0; k < n; k++) out[k] = std::sqrt(semrsm::dot(x + k * C, x + k * C, C));       \
        return 0;                                                                                       \
    }                                                                                                   \
    SEMRSM_EXPORT int64_t semrsm_greedy_##NAME(const T* affinity, int64_t n, int64_t S,                 \
                                               int64_t* permutations) {                                 \
        for (int64_t k = 0; k < n; k++)                                                                 \
            semrsm::match_greedily(affinity + k * S * S, S, permutations + k * S);                      \
        return 0;                                                                                       \
    }                                                                                                   \
    SEMRSM_EXPORT int64_t semrsm_grow_##NAME(const T* x, int64_t n, int64_t S, int64_t C,               \
                                             const int64_t* sizes, int64_t n_sizes, T* means) {         \
        semrsm::grow(x, n, S, C, sizes, n_sizes, means);                                                \
        return 0;                                                                                       \
    }                                                                                                   \
    SEMRSM_EXPORT int64_t semrsm_minimise_##NAME(const T* costs, int64_t n, int64_t S,                  \
                                                 int64_t* permutations) {                               \
        return semrsm::minimise<T>(costs, n, S, permutations);                                          \
    }                                                                                                   \
    SEMRSM_EXPORT int64_t semrsm_match_##NAME(                                                          \
        const semrsm::Level<T>* rows, const semrsm::Level<T>* columns, int64_t n_levels, int64_t C,     \
        const int64_t* pairs, int64_t n_pairs, const double* entropies, int64_t n_entropies,            \
        double* sums, double* gaps, double* bounds, int64_t* permutations) {                            \
        return semrsm::match<T>(rows, columns, n_levels, C, pairs, n_pairs, entropies, n_entropies,     \
                                sums, gaps, bounds, permutations);                                      \
    }

SEMRSM_FUNCTIONS(float, f32)
SEMRSM_FUNCTIONS(double, f64)
