// Sums, maximum, counts under thresholds and order statistics of every frame's distances;
// radarsparse/metrics/cuda/statistics.py launches them.
//
// Sums are taken in a fixed order, counts by integer atomics, so that every run gives the same
// bits. Order statistics are exact: the bits of a float that isn't negative are in the order of its
// value, so three histograms of their upper 11, middle 10 and lower 10 bits find any of them.
#include "spans.cuh"

constexpr int STATISTICS_SHIFT = 11;
constexpr int STATISTICS_THREADS = 256;
constexpr int VALUES_EACH = (1 << STATISTICS_SHIFT) / STATISTICS_THREADS;
constexpr int FIRST_BINS = 2048;
constexpr int NEXT_BITS = 10;
constexpr int NEXT_BINS = 1 << NEXT_BITS;
constexpr unsigned NO_VALUE = 0xffffffffu;

// Bits of this thread's distances; the answer to a comparison with any number is no for the rest.
__device__ __forceinline__ void load_values(const float* distances2, const Span& span,
                                            unsigned (&values)[VALUES_EACH]) {
#pragma unroll
    for (int k = 0; k < VALUES_EACH; ++k) {
        const int i = span.begin + static_cast<int>(threadIdx.x) + k * STATISTICS_THREADS;
        values[k] = i < span.end ? __float_as_uint(distances2[span.segment.offset + i]) : NO_VALUE;
    }
}

__device__ __forceinline__ double distance_of(unsigned bits) {
    return sqrt(static_cast<double>(__uint_as_float(bits)));
}

// Block-wide sum, sum and maximum, in thread 0.
__device__ __forceinline__ void reduce(double (&shared)[3][STATISTICS_THREADS]) {
    const int thread = threadIdx.x;
    for (int half = STATISTICS_THREADS / 2; half > 0; half >>= 1) {
        __syncthreads();
        if (thread < half) {
            shared[0][thread] += shared[0][thread + half];
            shared[1][thread] += shared[1][thread + half];
            shared[2][thread] = fmax(shared[2][thread], shared[2][thread + half]);
        }
    }
}

__device__ __forceinline__ void add_histogram(const int* shared, int bins, int* histogram) {
    for (int bin = threadIdx.x; bin < bins; bin += STATISTICS_THREADS) {
        if (shared[bin] > 0) {
            atomicAdd(histogram + bin, shared[bin]);
        }
    }
}

// Per block: sum, sum of squares, maximum. Per frame: how many are under each threshold, and the
// histogram of the upper bits; both start from zero.
extern "C" __global__ void __launch_bounds__(STATISTICS_THREADS)
    sum_blocks(const float* __restrict__ distances2, const int* __restrict__ offsets, int frames,
               const double* __restrict__ thresholds, int threshold_count,
               double* __restrict__ partials, unsigned long long* __restrict__ hits,
               int* __restrict__ histogram) {
    __shared__ double shared[3][STATISTICS_THREADS];
    __shared__ int bins[FIRST_BINS];
    __shared__ int block_hits;
    const Span span = span_of_block(offsets, frames, STATISTICS_SHIFT);
    if (span.begin >= span.end) {
        return;
    }
    const int thread = threadIdx.x;
    unsigned values[VALUES_EACH];
    load_values(distances2, span, values);
    for (int bin = thread; bin < FIRST_BINS; bin += STATISTICS_THREADS) {
        bins[bin] = 0;
    }
    shared[0][thread] = shared[1][thread] = shared[2][thread] = 0.0;
    __syncthreads();
    for (int k = 0; k < VALUES_EACH; ++k) {
        if (values[k] != NO_VALUE) {
            const double distance = distance_of(values[k]);
            shared[0][thread] += distance;
            shared[1][thread] += static_cast<double>(__uint_as_float(values[k]));
            shared[2][thread] = fmax(shared[2][thread], distance);
            atomicAdd(bins + (values[k] >> 2 * NEXT_BITS), 1);
        }
    }
    reduce(shared);
    __syncthreads();
    if (thread < 3) {
        partials[3LL * blockIdx.x + thread] = shared[thread][0];
    }
    add_histogram(bins, FIRST_BINS, histogram + static_cast<long long>(FIRST_BINS) * span.segment.id);
    for (int t = 0; t < threshold_count; ++t) {
        if (thread == 0) {
            block_hits = 0;
        }
        __syncthreads();
        int count = 0;
        for (int k = 0; k < VALUES_EACH; ++k) {
            count += values[k] != NO_VALUE && distance_of(values[k]) < thresholds[t] ? 1 : 0;
        }
        if (count > 0) {
            atomicAdd(&block_hits, count);
        }
        __syncthreads();
        if (thread == 0) {
            const unsigned long long total = static_cast<unsigned long long>(block_hits);
            atomicAdd(hits + static_cast<long long>(threshold_count) * span.segment.id + t, total);
        }
    }
}

// Place of a quantile among `count` distances in ascending order.
__device__ __forceinline__ double position_of(double quantile, int count) {
    return quantile * static_cast<double>(count - 1);
}

// Ranks 2q and 2q + 1 are the neighbours that quantile q lies between.
__device__ __forceinline__ int rank_of(double quantile, int count, int side) {
    const int below = static_cast<int>(position_of(quantile, count));
    return min(below + side, count - 1);
}

// Sum of the values of all threads before this one, by way of sums of GROUP threads.
__device__ __forceinline__ int sum_before(int own) {
    constexpr int GROUP = 16;
    constexpr int GROUPS = STATISTICS_THREADS / GROUP;
    __shared__ int values[STATISTICS_THREADS];
    __shared__ int groups[GROUPS];
    const int thread = threadIdx.x;
    values[thread] = own;
    __syncthreads();
    if (thread < GROUPS) {
        groups[thread] = 0;
        for (int k = 0; k < GROUP; ++k) {
            groups[thread] += values[thread * GROUP + k];
        }
    }
    __syncthreads();
    int sum = 0;
    for (int group = 0; group < thread / GROUP; ++group) {
        sum += groups[group];
    }
    for (int other = thread / GROUP * GROUP; other < thread; ++other) {
        sum += values[other];
    }
    return sum;
}

// One block per frame and rank: the bin that holds the rank gives the next bits of its value.
// `step` is 0 for the first histogram, which all ranks of a frame share.
extern "C" __global__ void __launch_bounds__(STATISTICS_THREADS)
    pick_bins(const int* __restrict__ offsets, const double* __restrict__ quantiles, int ranks,
              int step, const int* __restrict__ histogram, unsigned* __restrict__ values,
              int* __restrict__ remaining) {
    const int row = blockIdx.x;
    const int frame = row / ranks;
    const Segment segment = segment_at(offsets, frame);
    if (segment.count == 0) {
        return;
    }
    const int rank = row % ranks;
    const int wanted = step == 0 ? rank_of(quantiles[rank / 2], segment.count, rank % 2) : remaining[row];
    const int bins_each = (step == 0 ? FIRST_BINS : NEXT_BINS) / STATISTICS_THREADS;
    const int thread = threadIdx.x;
    const long long first = (step == 0 ? static_cast<long long>(FIRST_BINS) * frame
                                       : static_cast<long long>(NEXT_BINS) * row) + thread * bins_each;
    int own = 0;
    for (int k = 0; k < bins_each; ++k) {
        own += histogram[first + k];
    }
    int below = sum_before(own);
    if (wanted < below || wanted >= below + own) {
        return;
    }
    int k = 0;
    while (wanted >= below + histogram[first + k]) {
        below += histogram[first + k];
        ++k;
    }
    const unsigned bin = thread * bins_each + k;
    values[row] = step == 0 ? bin : values[row] << NEXT_BITS | bin;
    remaining[row] = wanted - below;
}

// Histograms [frame, rank] of the next bits of those distances that share a rank's upper bits.
extern "C" __global__ void __launch_bounds__(STATISTICS_THREADS)
    count_bins(const float* __restrict__ distances2, const int* __restrict__ offsets, int frames,
               int ranks, int step, const unsigned* __restrict__ upper,
               int* __restrict__ histogram) {
    __shared__ int bins[NEXT_BINS];
    const Span span = span_of_block(offsets, frames, STATISTICS_SHIFT);
    if (span.begin >= span.end) {
        return;
    }
    unsigned values[VALUES_EACH];
    load_values(distances2, span, values);
    const int shift = NEXT_BITS * (2 - step);
    for (int rank = 0; rank < ranks; ++rank) {
        const long long row = static_cast<long long>(ranks) * span.segment.id + rank;
        for (int bin = threadIdx.x; bin < NEXT_BINS; bin += STATISTICS_THREADS) {
            bins[bin] = 0;
        }
        __syncthreads();
        for (int k = 0; k < VALUES_EACH; ++k) {
            const bool shares = values[k] >> (shift + NEXT_BITS) == upper[row];
            if (values[k] != NO_VALUE && shares) {
                atomicAdd(bins + (values[k] >> shift & (NEXT_BINS - 1)), 1);
            }
        }
        __syncthreads();
        add_histogram(bins, NEXT_BINS, histogram + NEXT_BINS * row);
        __syncthreads();
    }
}

__device__ __forceinline__ double between(double low, double high, double share) {
    // Between two infinite neighbours there is no difference to take.
    return share == 0.0 || low == high ? low : low + share * (high - low);
}

// One block per frame: its sums [frame, 3] from the blocks' in order, and its quantiles.
extern "C" __global__ void __launch_bounds__(STATISTICS_THREADS)
    finish_frames(const int* __restrict__ offsets, const double* __restrict__ partials,
                  const double* __restrict__ quantiles, int quantile_count,
                  const unsigned* __restrict__ values, double* __restrict__ sums,
                  double* __restrict__ quantiles_m) {
    __shared__ double shared[3][STATISTICS_THREADS];
    const Segment segment = segment_at(offsets, blockIdx.x);
    const int thread = threadIdx.x;
    const int first = first_chunk(segment.offset, segment.id, STATISTICS_SHIFT);
    const int blocks = chunks_of(segment.count, STATISTICS_SHIFT);
    shared[0][thread] = shared[1][thread] = shared[2][thread] = 0.0;
    for (int block = thread; block < blocks; block += STATISTICS_THREADS) {
        const double* partial = partials + 3LL * (first + block);
        shared[0][thread] += partial[0];
        shared[1][thread] += partial[1];
        shared[2][thread] = fmax(shared[2][thread], partial[2]);
    }
    reduce(shared);
    __syncthreads();
    const double nothing = __longlong_as_double(0x7ff8000000000000LL);
    const bool empty = segment.count == 0;
    if (thread < 3) {
        sums[3LL * segment.id + thread] = empty && thread == 2 ? nothing : shared[thread][0];
    }
    for (int q = thread; q < quantile_count; q += STATISTICS_THREADS) {
        const long long place = static_cast<long long>(quantile_count) * segment.id + q;
        const double position = empty ? 0.0 : position_of(quantiles[q], segment.count);
        const double share = position - floor(position);
        quantiles_m[place] = empty ? nothing
                                   : between(distance_of(values[2 * place]),
                                             distance_of(values[2 * place + 1]), share);
    }
}
