// Exact nearest neighbours: what one thread does.
//
// No header is included, so that NVRTC takes this file; tests/kernels/emulator.hpp lets g++ take it.
//
// Exactness. Points and boxes are measured by the same expression. Rounding is monotone, so a box
// is never farther than a point in it, not even in the last bit: leaving out boxes that are not
// nearer than the best point so far never loses a nearer point, and the squared distance has the
// very bits that trying all points gives.
#pragma once

#include "spans.cuh"

#define INFINITE_F __int_as_float(0x7f800000)

constexpr int LEAF_SHIFT = 3;  // 8 points per leaf
constexpr int LEAF_POINTS = 1 << LEAF_SHIFT;
constexpr int ARITY_SHIFT = 2;  // 4 children per node
constexpr int ARITY = 1 << ARITY_SHIFT;
constexpr int CURVE_BITS = 10;  // per axis; more save next to no work: see BENCHMARK.md
constexpr double CELLS_MOST = (1 << CURVE_BITS) - 1;
constexpr double NEAR_M = 256.0;  // cells are at most 4 times as wide here as at the origin
constexpr int LEVEL_BITS = 4;
constexpr int NODE_BITS = 32 - LEVEL_BITS;
// A level adds ARITY entries and takes one away; 2^30 points have 14 levels.
constexpr int STACK_ENTRIES = 14 * (ARITY - 1) + 1;

// One load of 16 bytes; the row is that in the point's own cloud.
struct alignas(16) Point {
    float x, y, z;
    int row;
};

// Two loads of 16 bytes.
struct alignas(32) Box {
    float low_x, low_y, low_z, unused_low;
    float high_x, high_y, high_z, unused_high;
};

struct Nearest {
    float distance2;
    int row;
};

// The difference form: |a|^2 + |b|^2 - 2ab errs by centimetres at 100 m.
__device__ __forceinline__ float distance2(float dx, float dy, float dz) {
    return fmaf(dx, dx, fmaf(dy, dy, dz * dz));
}

__device__ __forceinline__ float distance2(const Point& a, const Point& b) {
    return distance2(a.x - b.x, a.y - b.y, a.z - b.z);
}

__device__ __forceinline__ float outside(float value, float low, float high) {
    return fmaxf(fmaxf(low - value, value - high), 0.0f);
}

__device__ __forceinline__ float distance2(const Point& point, const Box& box) {
    return distance2(outside(point.x, box.low_x, box.high_x),
                     outside(point.y, box.low_y, box.high_y),
                     outside(point.z, box.low_z, box.high_z));
}

// Infinitely far from everything, and no part of any union.
__device__ __forceinline__ Box empty_box() {
    const float far = INFINITE_F;
    return {far, far, far, 0.0f, -far, -far, -far, 0.0f};
}

__device__ __forceinline__ Box join(const Box& a, const Box& b) {
    return {fminf(a.low_x, b.low_x),   fminf(a.low_y, b.low_y),   fminf(a.low_z, b.low_z),   0.0f,
            fmaxf(a.high_x, b.high_x), fmaxf(a.high_y, b.high_y), fmaxf(a.high_z, b.high_z), 0.0f};
}

__device__ __forceinline__ Box box_of(const Point& p) {
    return {p.x, p.y, p.z, 0.0f, p.x, p.y, p.z, 0.0f};
}

// Doubles as integers of the same order, for minima by integer atomics, which keep no order.
__device__ __forceinline__ long long ordered(double value) {
    const long long bits = __double_as_longlong(value);
    return bits < 0 ? bits ^ 0x7fffffffffffffffLL : bits;
}

__device__ __forceinline__ double unordered(long long bits) {
    return __longlong_as_double(bits < 0 ? bits ^ 0x7fffffffffffffffLL : bits);
}

// Box of both clouds of a frame, as minima of (x, y, z, -x, -y, -z) in `ordered` form.
struct Frame {
    double low[3];
    double high[3];

    __device__ __forceinline__ explicit Frame(const long long* bounds) {
        for (int axis = 0; axis < 3; ++axis) {
            low[axis] = unordered(bounds[axis]);
            high[axis] = -unordered(bounds[3 + axis]);
        }
    }

    // What is subtracted before rounding to float. Zero unless the box is far from it; then it is a
    // float within a factor of 2 of every coordinate, so that the difference to a coordinate which
    // is a float is exact (Sterbenz): clouds given as floats never lose a bit.
    __device__ __forceinline__ double origin(int axis) const {
        const double middle = 0.5 * low[axis] + 0.5 * high[axis];
        const bool far = fabs(middle) > 2.0 * (high[axis] - low[axis]);
        return far ? static_cast<double>(static_cast<float>(middle)) : 0.0;
    }

    __device__ __forceinline__ Point place(const double* xyz, int row) const {
        return {static_cast<float>(xyz[0] - origin(0)), static_cast<float>(xyz[1] - origin(1)),
                static_cast<float>(xyz[2] - origin(2)), row};
    }

    // Between -1 and 1: a stray point far off costs the others few cells.
    __device__ __forceinline__ double squeezed(double metres, int axis) const {
        const double offset = metres - origin(axis);
        return offset / (NEAR_M + fabs(offset));
    }

    // Cells have one width, since the points lie on surfaces of any direction.
    __device__ __forceinline__ double cells_per_unit() const {
        double side = 0.0;
        for (int axis = 0; axis < 3; ++axis) {
            side = fmax(side, squeezed(high[axis], axis) - squeezed(low[axis], axis));
        }
        return side > 0.0 ? CELLS_MOST / side : 0.0;
    }

    __device__ __forceinline__ unsigned cell(double metres, int axis, double cells_per_unit) const {
        const double cell = (squeezed(metres, axis) - squeezed(low[axis], axis)) * cells_per_unit;
        return static_cast<unsigned>(cell < CELLS_MOST ? (cell > 0.0 ? cell : 0.0) : CELLS_MOST);
    }
};

// Every third bit, from 10.
__device__ __forceinline__ unsigned spread(unsigned value) {
    unsigned x = value & 0x3ff;
    x = (x | x << 16) & 0x030000ff;
    x = (x | x << 8) & 0x0300f00f;
    x = (x | x << 4) & 0x030c30c3;
    return (x | x << 2) & 0x09249249;
}

// Place of a cell along Hilbert's curve through a cube of 2^CURVE_BITS cells per side.
// Source: Skilling, "Programming the Hilbert curve", AIP Conf. Proc. 707, 2004.
__device__ __forceinline__ unsigned hilbert(unsigned x, unsigned y, unsigned z) {
    for (unsigned bit = 1u << (CURVE_BITS - 1); bit > 1; bit >>= 1) {
        const unsigned below = bit - 1;
        if (x & bit) {
            x ^= below;
        }
        const unsigned swap_y = y & bit ? 0 : (x ^ y) & below;
        x ^= y & bit ? below : swap_y;
        y ^= swap_y;
        const unsigned swap_z = z & bit ? 0 : (x ^ z) & below;
        x ^= z & bit ? below : swap_z;
        z ^= swap_z;
    }
    y ^= x;
    z ^= y;
    unsigned flip = 0;
    for (unsigned bit = 1u << (CURVE_BITS - 1); bit > 1; bit >>= 1) {
        flip ^= z & bit ? bit - 1 : 0;
    }
    return spread(x ^ flip) << 2 | spread(y ^ flip) << 1 | spread(z ^ flip);
}

// A tree without pointers over every segment: leaves are LEAF_POINTS points that follow each other
// along the curve, nodes ARITY nodes of the level below. Siblings lie beside each other at a
// multiple of ARITY; those that no segment needs hold `empty_box()`, and slots of points that none
// needs lie at infinity, so that a search never asks how many there are.
struct Tree {
    const Point* slots;
    const Box* nodes;
    int points;
    int segments;

    __device__ __forceinline__ static int first_slot(const Segment& segment) {
        return first_chunk(segment.offset, segment.id, LEAF_SHIFT) << LEAF_SHIFT;
    }

    __device__ __forceinline__ static int nodes_at(const Segment& segment, int level) {
        return chunks_of(segment.count, LEAF_SHIFT + ARITY_SHIFT * level);
    }

    // Levels follow each other; this bounds the sum of their sizes, a geometric series.
    __device__ __forceinline__ int first_node(const Segment& segment, int level) const {
        const int most = points / 24 + 1;
        const int level_start = most - (most >> ARITY_SHIFT * level) + level * (segments + 1);
        const int shift = LEAF_SHIFT + ARITY_SHIFT * (level + 1);
        return (level_start + first_chunk(segment.offset, segment.id, shift)) << ARITY_SHIFT;
    }
};

// Counts nothing; tests put a counter in its place.
struct NoTests {
    __device__ __forceinline__ void boxes(int) {}
    __device__ __forceinline__ void points(int) {}
};

struct Entry {
    float distance2;
    unsigned place;  // level and node
};

__device__ __forceinline__ void put_nearer_last(Entry& a, Entry& b) {
    if (a.distance2 < b.distance2) {
        const Entry kept = a;
        a = b;
        b = kept;
    }
}

template <class Tests>
struct Search {
    const Tree& tree;
    const Segment& target;
    const Point& query;
    Tests& tests;
    // Not a member: an array that is indexed at run time would keep all members out of registers.
    Entry* const stack;
    int height;
    Nearest best;

    // From the leaf at the query's own place on the curve upwards, nearest siblings first.
    __device__ __forceinline__ Nearest run(int hint) {
        if (target.count == 0) {
            return best;
        }
        int node = min(max(hint, 0), target.count - 1) >> LEAF_SHIFT;
        scan_leaf(node);
        for (int level = 0;; ++level) {
            push_siblings(level, node >> ARITY_SHIFT, node & (ARITY - 1));
            drain();
            if (Tree::nodes_at(target, level) <= ARITY) {
                return best;
            }
            node >>= ARITY_SHIFT;
        }
    }

    __device__ __forceinline__ void drain() {
        while (height > 0) {
            const Entry entry = stack[--height];
            if (entry.distance2 >= best.distance2) {
                continue;
            }
            const int level = static_cast<int>(entry.place >> NODE_BITS);
            const int node = static_cast<int>(entry.place & ((1u << NODE_BITS) - 1));
            if (level == 0) {
                scan_leaf(node);
            } else {
                push_siblings(level - 1, node, ARITY);
            }
        }
    }

    __device__ __forceinline__ void scan_leaf(int leaf) {
        const Point* points = tree.slots + Tree::first_slot(target) + (leaf << LEAF_SHIFT);
        tests.points(LEAF_POINTS);
#pragma unroll
        for (int i = 0; i < LEAF_POINTS; ++i) {
            const Point point = points[i];
            const float found = distance2(query, point);
            if (found < best.distance2) {
                best = {found, point.row};
            }
        }
    }

    // Those children of `parent` that may hold a nearer point, without the one that is done.
    __device__ __forceinline__ void push_siblings(int level, int parent, int done) {
        const int first = parent << ARITY_SHIFT;
        const Box* boxes = tree.nodes + tree.first_node(target, level) + first;
        tests.boxes(ARITY);
        Entry entries[ARITY];
#pragma unroll
        for (int i = 0; i < ARITY; ++i) {
            const float found = distance2(query, boxes[i]);
            entries[i].distance2 = i == done ? INFINITE_F : found;
            entries[i].place = static_cast<unsigned>(level) << NODE_BITS | (first + i);
        }
        // The nearest becomes the last. To sort the others, too, saves no work: see BENCHMARK.md.
#pragma unroll
        for (int i = 1; i < ARITY; ++i) {
            put_nearer_last(entries[i - 1], entries[i]);
        }
#pragma unroll
        for (int i = 0; i < ARITY; ++i) {
            if (entries[i].distance2 < best.distance2) {
                stack[height++] = entries[i];
            }
        }
    }
};

// `hint` is about how many of the target's points come before the query on the curve.
template <class Tests>
__device__ __forceinline__ Nearest find_nearest(const Tree& tree, const Segment& target,
                                                const Point& query, int hint, Tests& tests) {
    Entry stack[STACK_ENTRIES];
    return Search<Tests>{tree, target, query, tests, stack, 0, {INFINITE_F, -1}}.run(hint);
}
