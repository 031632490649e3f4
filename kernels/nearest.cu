// Kernels of the nearest-neighbour search; radarsparse/metrics/nearest/cuda/search.py launches them.
//
// A frame is two clouds; segments 0 .. frames - 1 are the first clouds, the rest the second ones.
#include "nearest.cuh"

constexpr int SPAN_SHIFT = 11;  // points per block of the kernels that read every point once
constexpr int SPAN_THREADS = 256;
constexpr int BOXES_THREADS = 256;
constexpr int BOXES_LEVELS = 4;
constexpr int QUERY_SHIFT = 7;
constexpr int TILE_POINTS = 256;
constexpr int BRUTE_THREADS = 128;
constexpr int BRUTE_QUERIES = 4;  // per thread
constexpr int BRUTE_SHIFT = 9;

// A cloud as the user has it: rows of floats or doubles, each `stride` of them after the last one.
struct Cloud {
    const void* values;
    int stride;
    int doubles;

    __device__ __forceinline__ double at(long long row, int axis) const {
        const long long place = row * stride + axis;
        return doubles != 0 ? static_cast<const double*>(values)[place]
                            : static_cast<double>(static_cast<const float*>(values)[place]);
    }
};

struct Clouds {
    Cloud first;
    Cloud second;
    int first_points;

    // Coordinate `place % 3` of row `place / 3`, second cloud after first.
    __device__ __forceinline__ double at(long long place) const {
        const long long row = place / 3;
        const int axis = static_cast<int>(place % 3);
        return row < first_points ? first.at(row, axis) : second.at(row - first_points, axis);
    }
};

// Both clouds as doubles, where their segments start, and the largest integers as `bounds`. Without
// arrays of starts, each cloud is one segment. `nonfinite`, if there, lies in the host's memory and
// becomes 1 where a coordinate isn't finite.
extern "C" __global__ void __launch_bounds__(SPAN_THREADS)
    join_clouds(const void* first, const void* second, int first_stride, int second_stride,
                int doubles, int first_points, int second_points,
                const long long* __restrict__ first_starts,
                const long long* __restrict__ second_starts, int frames,
                double* __restrict__ points, int* __restrict__ offsets,
                long long* __restrict__ bounds, int* nonfinite) {
    const Clouds clouds = {{first, first_stride, doubles}, {second, second_stride, doubles}, first_points};
    const long long places = 3LL * (first_points + second_points);
    const long long start = blockIdx.x * SPAN_THREADS + threadIdx.x;
    const long long step = static_cast<long long>(gridDim.x) * SPAN_THREADS;
    bool finite = true;
#pragma unroll 1
    for (long long i = start; i < places; i += step) {
        const double value = clouds.at(i);
        points[i] = value;
        finite = finite && value - value == 0.0;
    }
    if (!finite && nonfinite != nullptr) {
        *nonfinite = 1;
    }
    for (long long i = start; i <= 2 * frames; i += step) {
        const bool second_cloud = i >= frames;
        const long long* starts = second_cloud ? second_starts : first_starts;
        const long long frame = second_cloud ? i - frames : i;
        const int whole = second_cloud ? second_points : first_points;
        const int in_cloud = starts != nullptr ? static_cast<int>(starts[frame]) : frame > 0 ? whole : 0;
        offsets[i] = (second_cloud ? first_points : 0) + in_cloud;
    }
    for (long long i = start; i < 6LL * frames; i += step) {
        bounds[i] = 0x7fffffffffffffffLL;
    }
}

// Box of every frame; starts from the largest integers.
extern "C" __global__ void __launch_bounds__(SPAN_THREADS)
    frame_bounds(const double* __restrict__ points, const int* __restrict__ offsets, int segments,
                 long long* __restrict__ bounds) {
    __shared__ long long lows[6][SPAN_THREADS];
    const Span span = span_of_block(offsets, segments, SPAN_SHIFT);
    if (span.begin >= span.end) {
        return;
    }
    const int thread = threadIdx.x;
    for (int part = 0; part < 6; ++part) {
        lows[part][thread] = 0x7fffffffffffffffLL;
    }
    for (int i = span.begin + thread; i < span.end; i += SPAN_THREADS) {
        const double* xyz = points + 3LL * (span.segment.offset + i);
        for (int axis = 0; axis < 3; ++axis) {
            lows[axis][thread] = min(lows[axis][thread], ordered(xyz[axis]));
            lows[3 + axis][thread] = min(lows[3 + axis][thread], ordered(-xyz[axis]));
        }
    }
    for (int half = SPAN_THREADS / 2; half > 0; half >>= 1) {
        __syncthreads();
        if (thread < half) {
            for (int part = 0; part < 6; ++part) {
                lows[part][thread] = min(lows[part][thread], lows[part][thread + half]);
            }
        }
    }
    __syncthreads();
    const int frames = segments / 2;
    const int frame = span.segment.id % frames;
    if (thread < 6) {
        atomicMin(bounds + 6 * frame + thread, lows[thread][0]);
    }
}

// Segment in the top bits, the leading bits of the place along the curve below.
extern "C" __global__ void __launch_bounds__(SPAN_THREADS)
    curve_keys(const double* __restrict__ points, const int* __restrict__ offsets, int segments,
               const long long* __restrict__ bounds, int code_bits, int* __restrict__ keys) {
    const Span span = span_of_block(offsets, segments, SPAN_SHIFT);
    if (span.begin >= span.end) {
        return;
    }
    const Frame frame(bounds + 6 * (span.segment.id % (segments / 2)));
    const double scale = frame.cells_per_unit();
    for (int i = span.begin + static_cast<int>(threadIdx.x); i < span.end; i += SPAN_THREADS) {
        const long long row = span.segment.offset + i;
        const double* xyz = points + 3 * row;
        const unsigned code = hilbert(frame.cell(xyz[0], 0, scale), frame.cell(xyz[1], 1, scale),
                                      frame.cell(xyz[2], 2, scale));
        const unsigned leading = code >> (3 * CURVE_BITS - code_bits);
        keys[row] = static_cast<int>(static_cast<unsigned>(span.segment.id) << code_bits | leading);
    }
}

// Distance and row as one number, of which the smallest is wanted; row -1 is the largest.
__device__ __forceinline__ unsigned long long packed(float distance2, int row) {
    const unsigned long long bits = __float_as_uint(distance2);
    return bits << 32 | static_cast<unsigned>(row);
}

// Points as floats, in the order they came in, and nothing found for the first of them.
extern "C" __global__ void __launch_bounds__(SPAN_THREADS)
    place_points(const double* __restrict__ points, const int* __restrict__ offsets, int segments,
                 const long long* __restrict__ bounds, int queries, Point* __restrict__ placed,
                 unsigned long long* __restrict__ found) {
    const Span span = span_of_block(offsets, segments, SPAN_SHIFT);
    if (span.begin >= span.end) {
        return;
    }
    const int frames = segments / 2;
    const Frame frame(bounds + 6 * (span.segment.id % frames));
    const int cloud_start = span.segment.id < frames ? 0 : offsets[frames];
    for (int i = span.begin + static_cast<int>(threadIdx.x); i < span.end; i += SPAN_THREADS) {
        const int row = span.segment.offset + i;
        placed[row] = frame.place(points + 3LL * row, row - cloud_start);
        if (row < queries) {
            found[row] = packed(INFINITE_F, -1);
        }
    }
}

// How many of some ascending keys are smaller than another.
__device__ __forceinline__ int count_smaller(const int* keys, int count, int key) {
    int low = 0;
    int high = count;
    while (low < high) {
        const int middle = low + (high - low) / 2;
        if (keys[middle] < key) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

// Points as floats, each segment in the order of the curve, its last leaf filled up with points at
// infinity; `hints` says for each how many points of the frame's other cloud come before it.
extern "C" __global__ void __launch_bounds__(SPAN_THREADS)
    fill_slots(const double* __restrict__ points, const int* __restrict__ offsets, int segments,
               const long long* __restrict__ bounds, int code_bits, const int* __restrict__ keys,
               const long long* __restrict__ order, Point* __restrict__ slots,
               int* __restrict__ hints) {
    const int i = static_cast<int>(blockIdx.x) * SPAN_THREADS + static_cast<int>(threadIdx.x);
    if (i >= offsets[segments]) {
        return;
    }
    const int frames = segments / 2;
    const Segment own = segment_at(offsets, keys[i] >> code_bits);
    const bool second = own.id >= frames;
    const Segment other = segment_at(offsets, second ? own.id - frames : own.id + frames);
    const int key = keys[i] + (other.id - own.id) * (1 << code_bits);
    const long long row = order[i];
    const int row_of_cloud = static_cast<int>(row) - (second ? offsets[frames] : 0);
    const int slot = Tree::first_slot(own) + i - own.offset;
    slots[slot] = Frame(bounds + 6 * (own.id % frames)).place(points + 3 * row, row_of_cloud);
    hints[slot] = count_smaller(keys + other.offset, other.count, key);
    if (i == own.offset + own.count - 1) {
        for (int rest = slot + 1; rest % LEAF_POINTS != 0; ++rest) {
            slots[rest] = {INFINITE_F, INFINITE_F, INFINITE_F, -1};
        }
    }
}

__device__ __forceinline__ Box box_at(const Tree& tree, const Segment& segment, int level, int node) {
    Box box = empty_box();
    if (level == 0) {
        const Point* points = tree.slots + Tree::first_slot(segment) + (node << LEAF_SHIFT);
        const int count = min(segment.count - (node << LEAF_SHIFT), LEAF_POINTS);
        for (int i = 0; i < count; ++i) {
            box = join(box, box_of(points[i]));
        }
        return box;
    }
    const Box* children = tree.nodes + tree.first_node(segment, level - 1) + (node << ARITY_SHIFT);
    for (int i = 0; i < ARITY; ++i) {
        box = join(box, children[i]);
    }
    return box;
}

// Nodes of `level` and the next levels, one block per BOXES_THREADS nodes of one segment.
extern "C" __global__ void __launch_bounds__(BOXES_THREADS)
    build_boxes(const Point* __restrict__ slots, const int* __restrict__ offsets, int segments,
                int level, Box* nodes) {
    __shared__ Box shared[BOXES_THREADS];
    const int shift = SPAN_SHIFT + ARITY_SHIFT * level;
    const Span span = span_of_block(offsets, segments, shift);
    if (span.begin >= span.end) {
        return;
    }
    const Segment segment = span.segment;
    const Tree tree = {slots, nodes, offsets[segments], segments};
    const int thread = threadIdx.x;
    int first = span.begin >> (shift - 8);  // 2^8 nodes per block
    Box box = empty_box();
    if (first + thread < Tree::nodes_at(segment, level)) {
        box = box_at(tree, segment, level, first + thread);
    }
    int width = BOXES_THREADS;
    for (int step = 0; step < BOXES_LEVELS; ++step) {
        const int count = Tree::nodes_at(segment, level + step);
        const int node = first + thread;
        // Siblings that don't exist are written as well, as empty.
        if (thread < width && node >> ARITY_SHIFT <= (count - 1) >> ARITY_SHIFT) {
            nodes[tree.first_node(segment, level + step) + node] = box;
        }
        if (count <= ARITY) {
            return;
        }
        shared[thread] = box;
        __syncthreads();
        width >>= ARITY_SHIFT;
        first >>= ARITY_SHIFT;
        box = empty_box();
        if (thread < width) {
            for (int i = 0; i < ARITY; ++i) {
                box = join(box, shared[ARITY * thread + i]);
            }
        }
        __syncthreads();
    }
}

// One query of the tree per thread; neighbours in a warp are neighbours along the curve.
template <class Tests>
__device__ __forceinline__ void query_tree(const Point* slots, const Box* nodes, const int* hints,
                                           const int* offsets, int segments, float* distances2,
                                           long long* rows, Tests& tests) {
    const Span span = span_of_block(offsets, segments, QUERY_SHIFT);
    const int i = span.begin + static_cast<int>(threadIdx.x);
    if (i >= span.end) {
        return;
    }
    const int frames = segments / 2;
    const int slot = Tree::first_slot(span.segment) + i;
    const bool second = span.segment.id >= frames;
    const Segment target = segment_at(offsets, second ? span.segment.id - frames : span.segment.id + frames);
    const Tree tree = {slots, nodes, offsets[segments], segments};
    const Point query = slots[slot];
    const Nearest found = find_nearest(tree, target, query, hints[slot], tests);
    const int row = (second ? offsets[frames] : 0) + query.row;
    distances2[row] = found.distance2;
    rows[row] = found.row;
}

extern "C" __global__ void __launch_bounds__(1 << QUERY_SHIFT)
    query_boxes(const Point* __restrict__ slots, const Box* __restrict__ nodes,
                const int* __restrict__ hints, const int* __restrict__ offsets, int segments,
                float* __restrict__ distances2, long long* __restrict__ rows) {
    NoTests tests;
    query_tree(slots, nodes, hints, offsets, segments, distances2, rows, tests);
}

// Every pair of points. Keeps the smallest distance and the tile it was met in, and looks for the
// row in that tile only. Blocks of the same queries take turns at the tiles and merge by a minimum
// of (distance, row), which keeps no order.
extern "C" __global__ void __launch_bounds__(BRUTE_THREADS)
    query_all(const Point* __restrict__ points, const int* __restrict__ offsets, int segments,
              unsigned long long* __restrict__ found) {
    __shared__ Point tile[TILE_POINTS];
    const Span span = span_of_block(offsets, segments, BRUTE_SHIFT);
    if (span.begin >= span.end) {
        return;
    }
    const int frames = segments / 2;
    const int id = span.segment.id;
    const Segment target = segment_at(offsets, id < frames ? id + frames : id - frames);
    const Point* targets = points + target.offset;
    const int thread = threadIdx.x;
    Point queries[BRUTE_QUERIES];
    float best[BRUTE_QUERIES];
    int best_tile[BRUTE_QUERIES];
#pragma unroll
    for (int k = 0; k < BRUTE_QUERIES; ++k) {
        const int i = span.begin + thread + k * BRUTE_THREADS;
        queries[k] = points[span.segment.offset + min(i, span.end - 1)];
        best[k] = INFINITE_F;
        best_tile[k] = -1;
    }
    const int tiles = (target.count + TILE_POINTS - 1) / TILE_POINTS;
    for (int t = blockIdx.y; t < tiles; t += gridDim.y) {
        for (int j = thread; j < TILE_POINTS; j += BRUTE_THREADS) {
            const int row = t * TILE_POINTS + j;
            const Point far = {INFINITE_F, INFINITE_F, INFINITE_F, -1};
            tile[j] = row < target.count ? targets[row] : far;
        }
        __syncthreads();
        float low[BRUTE_QUERIES];
#pragma unroll
        for (int k = 0; k < BRUTE_QUERIES; ++k) {
            low[k] = best[k];
        }
#pragma unroll 8
        for (int j = 0; j < TILE_POINTS; ++j) {
            const Point point = tile[j];
#pragma unroll
            for (int k = 0; k < BRUTE_QUERIES; ++k) {
                low[k] = fminf(low[k], distance2(queries[k], point));
            }
        }
#pragma unroll
        for (int k = 0; k < BRUTE_QUERIES; ++k) {
            best_tile[k] = low[k] < best[k] ? t : best_tile[k];
            best[k] = low[k];
        }
        __syncthreads();
    }
#pragma unroll
    for (int k = 0; k < BRUTE_QUERIES; ++k) {
        const int i = span.begin + thread + k * BRUTE_THREADS;
        if (i >= span.end || best_tile[k] < 0) {
            continue;
        }
        const Point* candidates = targets + best_tile[k] * TILE_POINTS;
        int j = 0;
        while (distance2(queries[k], candidates[j]) != best[k]) {
            ++j;
        }
        atomicMin(found + span.segment.offset + i, packed(best[k], candidates[j].row));
    }
}

// What `query_all` found, as its caller wants it.
extern "C" __global__ void __launch_bounds__(SPAN_THREADS)
    unpack_found(const unsigned long long* __restrict__ found, int queries,
                 float* __restrict__ distances2, long long* __restrict__ rows) {
    const int i = static_cast<int>(blockIdx.x) * SPAN_THREADS + static_cast<int>(threadIdx.x);
    if (i < queries) {
        distances2[i] = __uint_as_float(static_cast<unsigned>(found[i] >> 32));
        rows[i] = static_cast<int>(static_cast<unsigned>(found[i]));
    }
}
