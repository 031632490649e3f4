// Rows of features side by side, as a table names them; radarsparse/sparse/engines/gather.py
// launches it.
//
// Torch's own gathers give every row a block of threads, whatever its length: short rows, as
// convolutions gather them by the million, then come at a small share of a GPU's bandwidth.

constexpr int GATHER_THREADS = 256;
constexpr int PARTS_EACH = 4;

struct alignas(16) RowPart {
    int words[4];
};

// Row table[i] of `rows` becomes row i of `gathered`, or zeros where there is no such row. Rows have
// `parts` parts each.
extern "C" __global__ void __launch_bounds__(GATHER_THREADS)
    gather_rows(const void* __restrict__ rows, int row_count, int parts,
                const long long* __restrict__ table, int entries, void* __restrict__ gathered) {
    const RowPart* source = static_cast<const RowPart*>(rows);
    RowPart* target = static_cast<RowPart*>(gathered);
    const long long total = static_cast<long long>(entries) * parts;
    const long long first = static_cast<long long>(blockIdx.x) * (GATHER_THREADS * PARTS_EACH);
#pragma unroll
    for (int step = 0; step < PARTS_EACH; ++step) {
        const long long i = first + step * GATHER_THREADS + static_cast<int>(threadIdx.x);
        if (i < total) {
            const long long row = table[i / parts];
            RowPart value = {};
            if (row < row_count) {
                value = source[row * parts + i % parts];
            }
            target[i] = value;
        }
    }
}
