// Kernels of the nearest-neighbour search; radarsparse/metrics/cuda/search.py launches them.
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

// Frame in the top bits, place along the curve below.
extern "C" __global__ void __launch_bounds__(SPAN_THREADS)
    curve_keys(const double* __restrict__ points, const int* __restrict__ offsets, int segments,
               const long long* __restrict__ bounds, int bits, long long* __restrict__ keys) {
    const Span span = span_of_block(offsets, segments, SPAN_SHIFT);
    if (span.begin >= span.end) {
        return;
    }
    const int frame_id = span.segment.id % (segments / 2);
    const Frame frame(bounds + 6 * frame_id);
    const double scale = frame.cells_per_metre(bits);
    for (int i = span.begin + static_cast<int>(threadIdx.x); i < span.end; i += SPAN_THREADS) {
        const long long row = span.segment.offset + i;
        const double* xyz = points + 3 * row;
        const unsigned long long code = hilbert(cell_of(xyz[0] - frame.low[0], scale, bits),
                                                cell_of(xyz[1] - frame.low[1], scale, bits),
                                                cell_of(xyz[2] - frame.low[2], scale, bits), bits);
        keys[row] = static_cast<long long>(frame_id) << 3 * bits | static_cast<long long>(code);
    }
}

// Points as floats, in the order they came in.
extern "C" __global__ void __launch_bounds__(SPAN_THREADS)
    place_points(const double* __restrict__ points, const int* __restrict__ offsets, int segments,
                 const long long* __restrict__ bounds, Point* __restrict__ placed) {
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
    }
}

// Points as floats, each cloud in the order of the curve; `hints` says for each how many points of
// the frame's other cloud come before it. Slots that get no point must lie at infinity before.
extern "C" __global__ void __launch_bounds__(SPAN_THREADS)
    fill_slots(const double* __restrict__ points, const int* __restrict__ offsets, int segments,
               const long long* __restrict__ bounds, int bits, const long long* __restrict__ keys,
               const long long* __restrict__ order, const int* __restrict__ seconds_until,
               Point* __restrict__ slots, int* __restrict__ hints) {
    const int i = static_cast<int>(blockIdx.x) * SPAN_THREADS + static_cast<int>(threadIdx.x);
    if (i >= offsets[segments]) {
        return;
    }
    const int frames = segments / 2;
    const int first_points = offsets[frames];
    const int row = static_cast<int>(order[i]);
    const bool second = row >= first_points;
    const int seconds_before = seconds_until[i] - (second ? 1 : 0);
    const int firsts_before = i - seconds_before;
    const int rank = second ? first_points + seconds_before : firsts_before;
    const int other_rank = second ? firsts_before : first_points + seconds_before;
    const int frame = static_cast<int>(keys[i] >> 3 * bits);
    const Segment own = segment_at(offsets, second ? frames + frame : frame);
    const Segment other = segment_at(offsets, second ? frame : frames + frame);
    const int slot = Tree::first_slot(own) + rank - own.offset;
    slots[slot] = Frame(bounds + 6 * frame).place(points + 3LL * row, second ? row - first_points : row);
    hints[slot] = other_rank - other.offset;
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
        const unsigned long long bits = __float_as_uint(best[k]);
        atomicMin(found + span.segment.offset + i,
                  bits << 32 | static_cast<unsigned>(candidates[j].row));
    }
}
