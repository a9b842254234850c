// Random problems through the native core, compared with all permutations; for the sanitizers too.
//
// Built and run by scripts/native_check: fuzz SEED PROBLEMS. Exits with 1 at the first wrong value.

#include "core.cpp"

#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <random>

namespace {

using Random = std::mt19937_64;

// Positions of a sample of one kind or another: gaussian, ReLU, integers, rank one, equal, zero.
template <class T> std::vector<T> positions(Random& random, int kind, long S, long C) {
    std::normal_distribution<double> normal;
    std::vector<T> x(S * C);
    const double factor = kind == 7 ? 1e-18 : 1;
    for (long s = 0; s < S; s++) {
        const double own = normal(random);
        for (long c = 0; c < C; c++) {
            const double value = normal(random);
            switch (kind) {
                case 1: x[s * C + c] = T(std::max(value, 0.0)); break;
                case 2: x[s * C + c] = T(random() % 3); break;
                case 3: x[s * C + c] = T(own * double(c + 1) / double(C)); break;
                case 4: x[s * C + c] = s ? x[c] : T(value); break;
                case 5: x[s * C + c] = 0; break;
                case 6: x[s * C + c] = s % 2 ? T(0) : T(value); break;
                default: x[s * C + c] = T(value * factor);
            }
        }
    }
    return x;
}

double best_of_all(const std::vector<double>& affinity, long S) {
    std::vector<int> p(S);
    std::iota(p.begin(), p.end(), 0);
    double best = -1e300;
    do {
        double sum = 0;
        for (long s = 0; s < S; s++) sum += affinity[s * S + p[s]];
        best = std::max(best, sum);
    } while (std::next_permutation(p.begin(), p.end()));
    return best;
}

bool fail(const char* what, int kind, long S, long C, double got, double wanted) {
    std::printf("%s: kind %d, S %ld, C %ld: %.17g, wanted %.17g\n", what, kind, S, C, got, wanted);
    return false;
}

template <class T> bool check(Random& random, long S, bool brute) {
    const int kind = int(random() % 8), other = int(random() % 8);
    const long C = 1 + long(random() % 40), levels = S >= 16 && random() % 2 ? 2 : 1;
    const auto x = positions<T>(random, kind, S, C), y = positions<T>(random, other, S, C);
    const long G = S / 4;
    std::vector<T> x0(G * C), y0(G * C);
    if (const int64_t group = 4; G) {
        semrsm::grow(x.data(), 1, S, C, &group, 1, x0.data());
        semrsm::grow(y.data(), 1, S, C, &group, 1, y0.data());
    }
    std::vector<T> packed(semrsm::packed_size<T>(S, C) + 1), packed0(semrsm::packed_size<T>(G, C) + 1);
    semrsm::pack(y.data(), S, C, packed.data());
    semrsm::pack(y0.data(), G, C, packed0.data());
    std::vector<double> of_x(S), of_y(S);
    for (long s = 0; s < S; s++) {
        of_x[s] = std::sqrt(semrsm::dot(&x[s * C], &x[s * C], C));
        of_y[s] = std::sqrt(semrsm::dot(&y[s * C], &y[s * C], C));
    }
    const semrsm::Level<T> rows[] = {{x0.data(), nullptr, nullptr, G}, {x.data(), nullptr, of_x.data(), S}};
    const semrsm::Level<T> columns[] = {{y0.data(), packed0.data(), nullptr, G},
                                        {y.data(), packed.data(), of_y.data(), S}};
    const int64_t pair[] = {0, 0};
    const double entropies[] = {0.15, 0.04};
    double sum, gap, bound;
    std::vector<int64_t> p(S), q(S);
    semrsm::match<T>(rows + 2 - levels, columns + 2 - levels, levels, C, pair, 1, entropies, 2, &sum, &gap,
                     &bound, p.data());
    std::vector<double> affinity(S * S);
    std::vector<T> costs(S * S);
    double size_x = 0, size_y = 0, taken = 0, minimised = 0;
    for (long s = 0; s < S; s++)
        for (long t = 0; t < S; t++) {
            double a = 0;
            for (long c = 0; c < C; c++) a += double(x[s * C + c]) * double(y[t * C + c]);
            affinity[s * S + t] = a;
            costs[s * S + t] = T(-a);
        }
    for (const T v : x) size_x += double(v) * double(v);
    for (const T v : y) size_y += double(v) * double(v);
    const double size = std::sqrt(size_x * size_y);
    semrsm::match_greedily(costs.data(), S, q.data());  // not optimal: for the sanitizers, and a permutation
    if (std::vector<int64_t> sorted(q); std::sort(sorted.begin(), sorted.end()), sorted.back() != S - 1)
        return fail("greedy", kind, S, C, double(sorted.back()), double(S - 1));
    semrsm::minimise<T>(costs.data(), 1, S, q.data());
    std::vector<int> seen(S);
    for (long s = 0; s < S; s++) {
        if (p[s] < 0 || p[s] >= S || q[s] < 0 || q[s] >= S) return fail("index", kind, S, C, double(p[s]), 0);
        seen[p[s]] |= 1;
        seen[q[s]] |= 2;
        taken += affinity[s * S + p[s]];
        minimised += affinity[s * S + q[s]];
    }
    for (const int both : seen)
        if (both != 3) return fail("no permutation", kind, S, C, both, 3);
    const double unit = sizeof(T) == 4 ? 1e-7 : 1e-11;
    if (std::abs(sum - taken) > 1e-13 * size) return fail("sum", kind, S, C, sum, taken);
    if (!(bound >= sum - 1e-14 * size)) return fail("bound below sum", kind, S, C, bound, sum);
    // What large ties leave in float32 is solved again in float64 by the caller.
    const double accepted = S > 1000 ? 10 * unit : unit;
    if (!(gap <= accepted * size + 1e-30)) return fail("gap", kind, S, C, gap, unit * size);
    if (!(bound <= sum + 4 * accepted * size + 1e-25)) return fail("bound", kind, S, C, bound, sum);
    if (!brute) return true;
    const double best = best_of_all(affinity, S);
    if (best - sum > unit * size) return fail("not optimal", kind, S, C, sum, best);
    if (bound < best - 1e-15 * size) return fail("bound below the optimum", kind, S, C, bound, best);
    if (best - minimised > 1e-6 * size) return fail("minimise", kind, S, C, minimised, best);
    return true;
}

}  // namespace

int main(int, char** arguments) {
    Random random(std::strtoull(arguments[1], nullptr, 10));
    const long problems = std::strtol(arguments[2], nullptr, 10);
    for (long k = 0; k < problems; k++) {
        const bool large = k % 200 == 0;
        const long S = large ? 8 + long(random() % 90) : 1 + long(random() % 6);
        if (!(k % 2 ? check<float>(random, S, !large) : check<double>(random, S, !large))) return 1;
    }
    for (const long S : {401, 784, 1600})
        if (!check<float>(random, S, false) || !check<double>(random, S, false)) return 1;
    std::printf("%ld problems and 6 large ones: right\n", problems);
}
