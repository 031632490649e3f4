// The kernels as a library for the CPU, with `launch` in the place of the driver's.
#include "emulator.hpp"

#include <ucontext.h>

#include <functional>
#include <utility>

#include "gather.cu"
#include "nearest.cu"
#include "statistics.cu"

Index threadIdx;
Index blockIdx;
Index gridDim;

// Whether the last block runs first: a GPU promises no order.
extern "C" bool backwards;
bool backwards = false;

struct Counter {
    int box_tests = 0;
    int point_tests = 0;
    void boxes(int tests) { box_tests += tests; }
    void points(int tests) { point_tests += tests; }
};

// As `query_boxes`; `tests` gets the boxes and the points that the query in each slot was measured
// against.

extern "C" void count_tests(const Point* slots, const Box* nodes, const int* hints,
                            const int* offsets, int segments, float* distances2, long long* rows,
                            int* tests) {
    Counter counter;
    const Span span = span_of_block(offsets, segments, QUERY_SHIFT);
    query_tree(slots, nodes, hints, offsets, segments, distances2, rows, counter);
    if (span.begin + static_cast<int>(threadIdx.x) < span.end) {
        const int slot = Tree::first_slot(span.segment) + span.begin + threadIdx.x;
        tests[2 * slot] = counter.box_tests;
        tests[2 * slot + 1] = counter.point_tests;
    }
}

// What no kernel may do, to test that it is noticed.
extern "C" void miss_barrier() {
    if (threadIdx.x > 0) {
        __syncthreads();
    }
}

// gcc's race detector takes fibers for threads, if it is told. It then knows of no order between two
// of them but that of the barriers; what hands the turn on is hidden from it.
#ifdef __SANITIZE_THREAD__
extern "C" {
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned flags);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_acquire(void* place);
void __tsan_release(void* place);
}
#define UNSEEN __attribute__((no_sanitize_thread))
#else
static void* __tsan_get_current_fiber() { return nullptr; }
static void* __tsan_create_fiber(unsigned) { return nullptr; }
static void __tsan_switch_to_fiber(void*, unsigned) {}
static void __tsan_acquire(void*) {}
static void __tsan_release(void*) {}
#define UNSEEN
#endif

namespace {
constexpr unsigned THREADS_MOST = 1024;
constexpr size_t STACK_BYTES = 1 << 16;
constexpr unsigned WITHOUT_ORDER = 1;

struct Fiber {
    ucontext_t context;
    void* thread;
    char* stack;
    bool done;
};

Fiber scheduler;
Fiber fibers[THREADS_MOST];
const std::function<void()>* kernel_body;
char arrived;  // orders all threads before the scheduler
char resumed;  // orders the scheduler, as of the last barrier, before all threads

UNSEEN void switch_fiber(Fiber& from, Fiber& to) {
    __tsan_switch_to_fiber(to.thread, WITHOUT_ORDER);
    swapcontext(&from.context, &to.context);
}

UNSEEN void leave_fiber() {
    __tsan_release(&arrived);
    switch_fiber(fibers[threadIdx.x], scheduler);
    __tsan_acquire(&resumed);
}

UNSEEN void run_fiber() {
    __tsan_acquire(&resumed);
    (*kernel_body)();
    fibers[threadIdx.x].done = true;
    leave_fiber();
}

UNSEEN void start_fiber(Fiber& fiber) {
    fiber.done = false;
    if (fiber.stack == nullptr) {
        fiber.stack = new char[STACK_BYTES];
        fiber.thread = __tsan_create_fiber(0);
    }
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack;
    fiber.context.uc_stack.ss_size = STACK_BYTES;
    makecontext(&fiber.context, run_fiber, 0);
}

// False if some threads ended while others waited for them.
UNSEEN bool run_block(unsigned threads, const std::function<void()>& body) {
    kernel_body = &body;
    scheduler.thread = __tsan_get_current_fiber();
    for (unsigned thread = 0; thread < threads; ++thread) {
        start_fiber(fibers[thread]);
    }
    for (unsigned done = 0; done < threads;) {
        done = 0;
        __tsan_release(&resumed);
        for (unsigned thread = 0; thread < threads; ++thread) {
            threadIdx.x = thread;
            switch_fiber(scheduler, fibers[thread]);
            done += fibers[thread].done ? 1 : 0;
        }
        __tsan_acquire(&arrived);
        if (done > 0 && done < threads) {
            return false;
        }
    }
    return true;
}
}  // namespace

UNSEEN void __syncthreads() { leave_fiber(); }

using Arguments = const void* const*;

template <class... Types, size_t... Places>
static bool run_grid(void (*kernel)(Types...), unsigned threads, Arguments arguments,
                     std::index_sequence<Places...>) {
    const std::function<void()> body = [&] {
        kernel(*static_cast<const std::remove_reference_t<Types>*>(arguments[Places])...);
    };
    const unsigned blocks = gridDim.x * gridDim.y;
    for (unsigned i = 0; i < blocks; ++i) {
        const unsigned block = backwards ? blocks - 1 - i : i;
        blockIdx = {block % gridDim.x, block / gridDim.x};
        if (!run_block(threads, body)) {
            return false;
        }
    }
    return true;
}

template <class... Types>
static bool run(void (*kernel)(Types...), unsigned threads, Arguments arguments) {
    return run_grid(kernel, threads, arguments, std::index_sequence_for<Types...>{});
}

// 0 for done, 1 for no such kernel, 2 for a barrier that not all threads reach.
extern "C" int launch(const char* name, unsigned blocks_x, unsigned blocks_y, unsigned threads,
                      Arguments arguments) {
    gridDim = {blocks_x, blocks_y};
#define KERNEL(kernel)                                  \
    if (strcmp(name, #kernel) == 0) {                   \
        return run(kernel, threads, arguments) ? 0 : 2; \
    }
    KERNEL(gather_rows)
    KERNEL(join_clouds)
    KERNEL(frame_bounds)
    KERNEL(curve_keys)
    KERNEL(place_points)
    KERNEL(fill_slots)
    KERNEL(build_boxes)
    KERNEL(query_boxes)
    KERNEL(count_tests)
    KERNEL(miss_barrier)
    KERNEL(query_all)
    KERNEL(unpack_found)
    KERNEL(sum_frames)
    KERNEL(narrow_ranks)
#undef KERNEL
    return 1;
}
