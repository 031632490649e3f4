// Sums, maximum, counts under thresholds and order statistics of every frame's distances;
// radarsparse/metrics/nearest/cuda/reductions.py launches them.
//
// Sums are taken in a fixed order, counts by integer atomics, so that every run gives the same
// bits. Order statistics are exact: the bits of a float that isn't negative are in the order of its
// value, so three histograms of their upper 11, middle 10 and lower 10 bits find any of them. The
// last block of a frame to be done reads what the frame's blocks wrote, which saves launches.
#include "spans.cuh"

constexpr int STATISTICS_SHIFT = 11;
constexpr int STATISTICS_THREADS = 256;
constexpr int VALUES_EACH = (1 << STATISTICS_SHIFT) / STATISTICS_THREADS;
constexpr int FIRST_BINS = 2048;
constexpr int NEXT_BITS = 10;
constexpr int NEXT_BINS = 1 << NEXT_BITS;
constexpr int STEPS = 3;
constexpr unsigned NO_VALUE = 0xffffffffu;

// Where frames start. Without an array there are two: the first array of distances and the second.
struct Starts {
    const long long* array;
    int first_count;
    int second_count;

    __device__ __forceinline__ long long operator[](int frame) const {
        if (array != nullptr) {
            return array[frame];
        }
        return (frame > 0 ? first_count : 0) + (frame > 1 ? second_count : 0);
    }
};

// Two arrays of distances, one after the other.
struct Distances {
    const float* first;
    const float* second;
    int first_count;

    __device__ __forceinline__ float operator[](int i) const {
        return i < first_count ? first[i] : second[i - first_count];
    }
};

// What blocks count together; all of it starts from zero. Ranks 2q and 2q + 1 of a frame are the
// neighbours that quantile q lies between; a row is a frame's rank.
struct Work {
    int* base;
    int frames;
    int thresholds;
    int ranks;

    __device__ __forceinline__ int* done(int step, int frame) const {
        return base + step * frames + frame;
    }
    __device__ __forceinline__ int* hits(int frame) const {
        return base + STEPS * frames + static_cast<long long>(thresholds) * frame;
    }
    __device__ __forceinline__ int* first_bins(int frame) const {
        return hits(frames) + static_cast<long long>(FIRST_BINS) * frame;
    }
    __device__ __forceinline__ int* next_bins(int step, long long row) const {
        const long long rows = static_cast<long long>(ranks) * frames;
        return first_bins(frames) + NEXT_BINS * ((step - 1) * rows + row);
    }
    // Upper bits of the value at a rank, and its place among the values that share them.
    __device__ __forceinline__ int* picked(long long row) const { return next_bins(STEPS, 0) + 2 * row; }
};

// Bits of this thread's distances; the answer to a comparison with any number is no for the rest.
__device__ __forceinline__ void load_values(const Distances& distances2, const Span& span,
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

// Whether this is the last block of its frame to get here, which then sees what the others wrote.
__device__ __forceinline__ bool is_last_block(int* done, const Segment& segment) {
    __shared__ bool last;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        last = atomicAdd(done, 1) == chunks_of(segment.count, STATISTICS_SHIFT) - 1;
    }
    __syncthreads();
    __threadfence();
    return last;
}

// Place of a quantile among `count` distances in ascending order.
__device__ __forceinline__ double position_of(double quantile, int count) {
    return quantile * static_cast<double>(count - 1);
}

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
    __syncthreads();
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

// This thread's share of a histogram, and how many values lie in the bins before it.
template <int BINS>
struct Bins {
    static constexpr int EACH = BINS / STATISTICS_THREADS;
    int counts[EACH];
    int before;

    __device__ __forceinline__ explicit Bins(const int* histogram) {
        int own = 0;
#pragma unroll
        for (int k = 0; k < EACH; ++k) {
            counts[k] = histogram[static_cast<int>(threadIdx.x) * EACH + k];
            own += counts[k];
        }
        before = sum_before(own);
    }

    // If the value that `wanted` others come before is here: its bin, and its place in that.
    __device__ __forceinline__ void pick(int wanted, unsigned upper, int* picked) const {
        int below = before;
#pragma unroll
        for (int k = 0; k < EACH; ++k) {
            if (wanted >= below && wanted < below + counts[k]) {
                const unsigned bin = static_cast<unsigned>(threadIdx.x) * EACH + k;
                picked[0] = static_cast<int>(upper | bin);
                picked[1] = wanted - below;
            }
            below += counts[k];
        }
    }
};

// Of a frame: sums [frames, 3] from the blocks' in order, counts, and those under each threshold.
__device__ __forceinline__ void finish_sums(const Segment& segment, const Work& work,
                                            const double* partials,
                                            double (&shared)[3][STATISTICS_THREADS], double* sums,
                                            long long* counts, long long* hits) {
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
    if (thread < 3) {
        const bool is_none = segment.count == 0 && thread == 2;
        sums[3LL * segment.id + thread] = is_none ? nothing : shared[thread][0];
    }
    if (thread == 0) {
        counts[segment.id] = segment.count;
    }
    for (int t = thread; t < work.thresholds; t += STATISTICS_THREADS) {
        hits[static_cast<long long>(work.thresholds) * segment.id + t] = work.hits(segment.id)[t];
    }
}

// How many of this block's distances are under each threshold.
__device__ __forceinline__ void count_hits(const double (&distances)[VALUES_EACH],
                                           const double* thresholds, int threshold_count, int* hits) {
    __shared__ int block_hits;
    for (int t = 0; t < threshold_count; ++t) {
        if (threadIdx.x == 0) {
            block_hits = 0;
        }
        __syncthreads();
        int count = 0;
#pragma unroll
        for (int k = 0; k < VALUES_EACH; ++k) {
            count += distances[k] < thresholds[t] ? 1 : 0;
        }
        if (count > 0) {
            atomicAdd(&block_hits, count);
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            atomicAdd(hits + t, block_hits);
        }
    }
}

// All but quantiles; of these, the upper bits. `partials` has 3 numbers per block.
extern "C" __global__ void __launch_bounds__(STATISTICS_THREADS)
    sum_frames(const float* __restrict__ first, const float* __restrict__ second, int first_count,
               int second_count, const long long* __restrict__ starts, int frames,
               const double* __restrict__ thresholds, int threshold_count,
               const double* __restrict__ quantiles, int quantile_count, int* work_array,
               double* partials, double* __restrict__ sums, long long* __restrict__ counts,
               long long* __restrict__ hits) {
    __shared__ double shared[3][STATISTICS_THREADS];
    __shared__ int bins[FIRST_BINS];
    const Work work = {work_array, frames, threshold_count, 2 * quantile_count};
    const Starts frame_starts = {starts, first_count, second_count};
    const Span span = span_of_block(frame_starts, frames, STATISTICS_SHIFT);
    const Segment segment = span.segment;
    if (segment.count == 0) {
        finish_sums(segment, work, partials, shared, sums, counts, hits);
        return;
    }
    if (span.begin >= span.end) {
        return;
    }
    const int thread = threadIdx.x;
    unsigned values[VALUES_EACH];
    double distances[VALUES_EACH];
    load_values({first, second, first_count}, span, values);
    for (int bin = thread; bin < FIRST_BINS; bin += STATISTICS_THREADS) {
        bins[bin] = 0;
    }
    shared[0][thread] = shared[1][thread] = shared[2][thread] = 0.0;
    __syncthreads();
#pragma unroll
    for (int k = 0; k < VALUES_EACH; ++k) {
        // What isn't there is under no threshold.
        distances[k] = __longlong_as_double(0x7ff0000000000000LL);
        if (values[k] != NO_VALUE) {
            distances[k] = distance_of(values[k]);
            shared[0][thread] += distances[k];
            shared[1][thread] += static_cast<double>(__uint_as_float(values[k]));
            shared[2][thread] = fmax(shared[2][thread], distances[k]);
            atomicAdd(bins + (values[k] >> 2 * NEXT_BITS), 1);
        }
    }
    reduce(shared);
    __syncthreads();
    if (thread < 3) {
        partials[3LL * blockIdx.x + thread] = shared[thread][0];
    }
    add_histogram(bins, FIRST_BINS, work.first_bins(segment.id));
    count_hits(distances, thresholds, threshold_count, work.hits(segment.id));
    if (!is_last_block(work.done(0, segment.id), segment)) {
        return;
    }
    finish_sums(segment, work, partials, shared, sums, counts, hits);
    const Bins<FIRST_BINS> of_frame(work.first_bins(segment.id));
    for (int rank = 0; rank < work.ranks; ++rank) {
        const int wanted = rank_of(quantiles[rank / 2], segment.count, rank % 2);
        of_frame.pick(wanted, 0, work.picked(static_cast<long long>(work.ranks) * segment.id + rank));
    }
}

__device__ __forceinline__ double between(double low, double high, double share) {
    // Between two infinite neighbours there is no difference to take.
    return share == 0.0 || low == high ? low : low + share * (high - low);
}

// A frame's quantiles from the values at its ranks.
__device__ __forceinline__ void finish_quantiles(const Segment& segment, const Work& work,
                                                 const double* quantiles, double* quantiles_m) {
    const int count = work.ranks / 2;
    for (int q = threadIdx.x; q < count; q += STATISTICS_THREADS) {
        const long long place = static_cast<long long>(count) * segment.id + q;
        if (segment.count == 0) {
            quantiles_m[place] = __longlong_as_double(0x7ff8000000000000LL);
            continue;
        }
        const int* picked = work.picked(2 * place);
        const double low = distance_of(static_cast<unsigned>(picked[0]));
        const double high = distance_of(static_cast<unsigned>(picked[2]));
        const double position = position_of(quantiles[q], segment.count);
        quantiles_m[place] = between(low, high, position - floor(position));
    }
}

// The next bits of the values at a frame's ranks, from histograms of those distances that share a
// rank's upper bits; after the last step, the quantiles.
extern "C" __global__ void __launch_bounds__(STATISTICS_THREADS)
    narrow_ranks(const float* __restrict__ first, const float* __restrict__ second, int first_count,
                 int second_count, const long long* __restrict__ starts, int frames,
                 int threshold_count, const double* __restrict__ quantiles, int quantile_count,
                 int step, int* work_array, double* __restrict__ quantiles_m) {
    __shared__ int bins[NEXT_BINS];
    const Work work = {work_array, frames, threshold_count, 2 * quantile_count};
    const Starts frame_starts = {starts, first_count, second_count};
    const Span span = span_of_block(frame_starts, frames, STATISTICS_SHIFT);
    const Segment segment = span.segment;
    if (segment.count == 0) {
        finish_quantiles(segment, work, quantiles, quantiles_m);
        return;
    }
    if (span.begin >= span.end) {
        return;
    }
    unsigned values[VALUES_EACH];
    load_values({first, second, first_count}, span, values);
    const int shift = NEXT_BITS * (STEPS - 1 - step);
    const long long first_row = static_cast<long long>(work.ranks) * segment.id;
    for (int rank = 0; rank < work.ranks; ++rank) {
        for (int bin = threadIdx.x; bin < NEXT_BINS; bin += STATISTICS_THREADS) {
            bins[bin] = 0;
        }
        __syncthreads();
        const unsigned upper = static_cast<unsigned>(work.picked(first_row + rank)[0]);
        for (int k = 0; k < VALUES_EACH; ++k) {
            const bool shares = values[k] >> (shift + NEXT_BITS) == upper;
            if (values[k] != NO_VALUE && shares) {
                atomicAdd(bins + (values[k] >> shift & (NEXT_BINS - 1)), 1);
            }
        }
        __syncthreads();
        add_histogram(bins, NEXT_BINS, work.next_bins(step, first_row + rank));
        __syncthreads();
    }
    if (!is_last_block(work.done(step, segment.id), segment)) {
        return;
    }
    for (int rank = 0; rank < work.ranks; ++rank) {
        int* const picked = work.picked(first_row + rank);
        const unsigned upper = static_cast<unsigned>(picked[0]) << NEXT_BITS;
        const int wanted = picked[1];
        // All threads have read before one writes: the sum within waits for them.
        Bins<NEXT_BINS>(work.next_bins(step, first_row + rank)).pick(wanted, upper, picked);
    }
    __syncthreads();
    if (step == STEPS - 1) {
        finish_quantiles(segment, work, quantiles, quantiles_m);
    }
}
