// Which run of points a block works on.
//
// A batch is one array of points; segment s of it is the run offsets[s] .. offsets[s + 1]. Blocks,
// slots and nodes are dealt out to segments in chunks of 2^shift points, segment s from chunk
// (offsets[s] >> shift) + s on. That leaves every segment the chunks it needs, whatever its size,
// so no kernel has to count chunks and no copy to the host is needed to launch one.
#pragma once

__device__ __forceinline__ int shifted(int value, int shift) { return shift < 31 ? value >> shift : 0; }

// Number of chunks that hold `count` points.
__device__ __forceinline__ int chunks_of(int count, int shift) {
    return count > 0 ? shifted(count - 1, shift) + 1 : 0;
}

__device__ __forceinline__ int first_chunk(int offset, int segment, int shift) {
    return shifted(offset, shift) + segment;
}

// The last segment that starts at or before a chunk.
template <class Offsets>
__device__ __forceinline__ int owner_of(Offsets offsets, int segments, int shift, int chunk) {
    int low = 0;
    int high = segments - 1;
    while (low < high) {
        const int middle = (low + high + 1) >> 1;
        if (first_chunk(static_cast<int>(offsets[middle]), middle, shift) <= chunk) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

struct Segment {
    int id;
    int offset;
    int count;
};

template <class Offsets>
__device__ __forceinline__ Segment segment_at(Offsets offsets, int id) {
    const int start = static_cast<int>(offsets[id]);
    return {id, start, static_cast<int>(offsets[id + 1]) - start};
}

// Points begin .. end of one segment; none where begin >= end.
struct Span {
    Segment segment;
    int begin;
    int end;
};

template <class Offsets>
__device__ __forceinline__ Span span_of_block(Offsets offsets, int segments, int shift) {
    const int block = static_cast<int>(blockIdx.x);
    const Segment segment = segment_at(offsets, owner_of(offsets, segments, shift, block));
    const int chunk = block - first_chunk(segment.offset, segment.id, shift);
    const int chunks = chunks_of(segment.count, shift);
    if (chunk >= chunks) {
        return {segment, segment.count, segment.count};
    }
    const int begin = shift < 31 ? chunk << shift : 0;
    const int end = chunk + 1 < chunks ? begin + (1 << shift) : segment.count;
    return {segment, begin, end};
}
