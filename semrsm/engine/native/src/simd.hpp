// Vectors: the only file that knows how wide they are. One source serves AVX-512, AVX2, SSE2 and NEON.
//
// GCC's and Clang's vector types: arithmetic, comparison and choice work lane by lane on any of them.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>

#if defined(__AVX512VL__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define SEMRSM_BYTES 64
#elif defined(__AVX2__)
#define SEMRSM_BYTES 32
#else
#define SEMRSM_BYTES 16
#endif

namespace semrsm {

// 32 registers hold the 7 x 4 sums of a product, 16 the 4 x 3.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int ROWS_AT_ONCE = 7, VECTORS_AT_ONCE = 4;
#else
constexpr int ROWS_AT_ONCE = 4, VECTORS_AT_ONCE = 3;
#endif

template <class T> struct Lanes;
template <> struct Lanes<float> {
    typedef float Vector __attribute__((vector_size(SEMRSM_BYTES)));
    typedef int32_t Index __attribute__((vector_size(SEMRSM_BYTES)));
    using Integer = int32_t;
};
template <> struct Lanes<double> {
    typedef double Vector __attribute__((vector_size(SEMRSM_BYTES)));
    typedef int64_t Index __attribute__((vector_size(SEMRSM_BYTES)));
    using Integer = int64_t;
};

template <class T> using Vector = typename Lanes<T>::Vector;
template <class T> using Index = typename Lanes<T>::Index;
template <class T> constexpr int WIDTH = SEMRSM_BYTES / sizeof(T);

// Larger than every cost, and still finite when some of them are added.
template <class T> constexpr T BIG = std::numeric_limits<T>::max() / 16;

// How many vectors, and how many numbers in whole vectors, S numbers take.
template <class T> inline long vectors_of(long S) { return (S + WIDTH<T> - 1) / WIDTH<T>; }
template <class T> inline long padded(long S) { return vectors_of<T>(S) * WIDTH<T>; }

template <class T> inline Vector<T> load(const T* p) {
    Vector<T> v;
    std::memcpy(&v, p, sizeof v);
    return v;
}
template <class T, class V> inline void store(T* p, V v) { std::memcpy(p, &v, sizeof v); }
template <class T> inline Vector<T> all(T x) { return x - Vector<T>{}; }
template <class V> inline V least(V a, V b) { return a < b ? a : b; }
template <class V> inline V greatest(V a, V b) { return a > b ? a : b; }

// Some lanes of a vector, from `first` on.
template <int first, class V, int... lane>
inline auto lanes_of(V v, std::integer_sequence<int, lane...>) {
    return __builtin_shufflevector(v, v, (first + lane)...);
}

// Fold a vector into a number: its upper half on its lower half, until one lane is left.
template <class V, class Fold> inline auto folded(V v, Fold fold) {
    constexpr int half = sizeof(V) / sizeof(v[0]) / 2;
    if constexpr (half == 1) {
        return fold(v[0], v[1]);
    } else {
        using Half = std::make_integer_sequence<int, half>;
        return folded(fold(lanes_of<0>(v, Half()), lanes_of<half>(v, Half())), fold);
    }
}
template <class V> inline auto least_of(V v) {
    return folded(v, [](auto a, auto b) { return least(a, b); });
}
template <class V> inline auto sum_of(V v) {
    return folded(v, [](auto a, auto b) { return a + b; });
}

// 0, 1, 2, ... in the lanes.
template <class T> inline Index<T> counted() {
    Index<T> k;
    for (int lane = 0; lane < WIDTH<T>; lane++) k[lane] = lane;
    return k;
}

// Write the places first + k of the keys below a bound, of WIDTH keys, to `out`, which has room for WIDTH;
// returns how many. Vector types cannot pack lanes, so AVX-512 says it in its own words.
template <class T> inline int places_below(const T* keys, T bound, int32_t first, int32_t* out) {
#if defined(__AVX512VL__)
    if constexpr (sizeof(T) == 4) {
        const __mmask16 below = _mm512_cmp_ps_mask(_mm512_loadu_ps(keys), _mm512_set1_ps(bound), _CMP_LT_OQ);
        const __m512i places = _mm512_add_epi32((__m512i)counted<T>(), _mm512_set1_epi32(first));
        _mm512_storeu_si512(out, _mm512_maskz_compress_epi32(below, places));
        return __builtin_popcount(below);
    } else {
        const __mmask8 below = _mm512_cmp_pd_mask(_mm512_loadu_pd(keys), _mm512_set1_pd(bound), _CMP_LT_OQ);
        const __m256i counts = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        const __m256i places = _mm256_add_epi32(counts, _mm256_set1_epi32(first));
        _mm256_storeu_si256((__m256i*)out, _mm256_maskz_compress_epi32(below, places));
        return __builtin_popcount(below);
    }
#else
    int n = 0;
    if (!(least_of(load(keys)) < bound)) return 0;
    for (int lane = 0; lane < WIDTH<T>; lane++) {
        out[n] = first + lane;  // stays only if the key counts: no branch to guess wrong
        n += keys[lane] < bound;
    }
    return n;
#endif
}

// exp(x) for x <= 0 to about 1e-7; below -60 it is exp(-60).
template <class T> inline Vector<T> exp_of(Vector<T> x) {
    constexpr bool single = sizeof(T) == 4;
    constexpr T shift = single ? T(12582912.0) : T(6755399441055744.0);  // 1.5 * 2^(digits)
    constexpr int mantissa = single ? 23 : 52;
    x = greatest(x, all<T>(-60)) * T(1.44269504088896341);
    Vector<T> shifted = x + shift;
    Vector<T> f = x - (shifted - shift);
    Index<T> n;
    std::memcpy(&n, &shifted, sizeof n);
    Vector<T> p = f * T(0.00133335581) + T(0.00961812910);
    p = p * f + T(0.0555041087);
    p = p * f + T(0.240226507);
    p = p * f + T(0.693147181);
    p = p * f + T(1);
    Index<T> bits;
    std::memcpy(&bits, &p, sizeof bits);
    bits += n << mantissa;  // what is left of the shift falls out at the top
    std::memcpy(&p, &bits, sizeof p);
    return p;
}

}  // namespace semrsm
