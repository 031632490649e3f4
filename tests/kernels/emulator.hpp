// The part of CUDA that kernels/ uses, for g++: blocks run one after another, the threads of a block
// as fibers that take turns from barrier to barrier.
#pragma once

#include <math.h>
#include <string.h>

#include <algorithm>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(threads)
// Blocks follow each other, so one copy serves them all.
#define __shared__ static

struct Index {
    unsigned x = 0;
    unsigned y = 0;
};

extern Index threadIdx;
extern Index blockIdx;
extern Index gridDim;

void __syncthreads();
// One thread runs at a time.
inline void __threadfence() {}

using std::max;
using std::min;

template <class To, class From>
To same_bits(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    memcpy(&to, &from, sizeof(to));
    return to;
}

inline unsigned __float_as_uint(float value) { return same_bits<unsigned>(value); }
inline float __uint_as_float(unsigned bits) { return same_bits<float>(bits); }
inline float __int_as_float(int bits) { return same_bits<float>(bits); }
inline long long __double_as_longlong(double value) { return same_bits<long long>(value); }
inline double __longlong_as_double(long long bits) { return same_bits<double>(bits); }

template <class T>
T atomicAdd(T* place, T value) {
    return __atomic_fetch_add(place, value, __ATOMIC_RELAXED);
}

template <class T>
T atomicMin(T* place, T value) {
    T seen = __atomic_load_n(place, __ATOMIC_RELAXED);
    while (value < seen && !__atomic_compare_exchange_n(place, &seen, value, false,
                                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return seen;
}
