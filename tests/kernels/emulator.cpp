// The kernels as a library for the CPU, with `launch` in the place of the driver's.
#include "emulator.hpp"

#include <functional>
#include <utility>
#include <vector>

#include "nearest.cu"
#include "statistics.cu"

thread_local Index threadIdx;
Index blockIdx;
Index gridDim;

// Box and point tests of every query, in the order of the rows.
struct Counter {
    int count = 0;
    void boxes(int tests) { count += tests; }
    void points(int tests) { count += tests; }
};

extern "C" void count_tests(const Point* slots, const Box* nodes, const int* hints,
                            const int* offsets, int segments, float* distances2, long long* rows,
                            int* tests) {
    Counter counter;
    const Span span = span_of_block(offsets, segments, QUERY_SHIFT);
    query_tree(slots, nodes, hints, offsets, segments, distances2, rows, counter);
    if (counter.count > 0) {
        const Point& query = slots[Tree::first_slot(span.segment) + span.begin + threadIdx.x];
        tests[(span.segment.id < segments / 2 ? 0 : offsets[segments / 2]) + query.row] = counter.count;
    }
}

#ifdef EMULATOR_THREADS

#include <pthread.h>

#include <thread>

namespace {
pthread_barrier_t barrier;
}

void __syncthreads() { pthread_barrier_wait(&barrier); }

static bool run_block(unsigned threads, const std::function<void()>& body) {
    pthread_barrier_init(&barrier, nullptr, threads);
    std::vector<std::thread> running;
    for (unsigned thread = 0; thread < threads; ++thread) {
        running.emplace_back([thread, &body] {
            threadIdx.x = thread;
            body();
        });
    }
    for (std::thread& each : running) {
        each.join();
    }
    pthread_barrier_destroy(&barrier);
    return true;
}

#else

#include <ucontext.h>

namespace {
constexpr size_t STACK_BYTES = 1 << 15;

struct Fiber {
    ucontext_t context;
    std::vector<char> stack = std::vector<char>(STACK_BYTES);
    bool done = false;
};

std::vector<Fiber> fibers;
ucontext_t scheduler;
const std::function<void()>* kernel_body;

void run_fiber() {
    (*kernel_body)();
    fibers[threadIdx.x].done = true;
}
}  // namespace

void __syncthreads() { swapcontext(&fibers[threadIdx.x].context, &scheduler); }

static void start_fibers(unsigned threads) {
    if (fibers.size() < threads) {
        fibers = std::vector<Fiber>(threads);
    }
    for (unsigned thread = 0; thread < threads; ++thread) {
        Fiber& fiber = fibers[thread];
        fiber.done = false;
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.data();
        fiber.context.uc_stack.ss_size = STACK_BYTES;
        fiber.context.uc_link = &scheduler;
        makecontext(&fiber.context, run_fiber, 0);
    }
}

// False if some threads ended while others waited for them.
static bool run_block(unsigned threads, const std::function<void()>& body) {
    kernel_body = &body;
    start_fibers(threads);
    for (unsigned done = 0; done < threads;) {
        done = 0;
        for (unsigned thread = 0; thread < threads; ++thread) {
            threadIdx.x = thread;
            swapcontext(&scheduler, &fibers[thread].context);
            done += fibers[thread].done ? 1 : 0;
        }
        if (done > 0 && done < threads) {
            return false;
        }
    }
    return true;
}

#endif

using Arguments = const void* const*;

template <class... Types, size_t... Places>
static bool run_grid(void (*kernel)(Types...), unsigned threads, Arguments arguments,
                     std::index_sequence<Places...>) {
    const std::function<void()> body = [&] {
        kernel(*static_cast<const std::remove_reference_t<Types>*>(arguments[Places])...);
    };
    for (blockIdx.y = 0; blockIdx.y < gridDim.y; ++blockIdx.y) {
        for (blockIdx.x = 0; blockIdx.x < gridDim.x; ++blockIdx.x) {
            if (!run_block(threads, body)) {
                return false;
            }
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
    KERNEL(frame_bounds)
    KERNEL(curve_keys)
    KERNEL(place_points)
    KERNEL(fill_slots)
    KERNEL(build_boxes)
    KERNEL(query_boxes)
    KERNEL(count_tests)
    KERNEL(query_all)
    KERNEL(sum_blocks)
    KERNEL(pick_bins)
    KERNEL(count_bins)
    KERNEL(finish_frames)
#undef KERNEL
    return 1;
}
