#!/usr/bin/env bash
# Tests and times of the project on a machine with an NVIDIA GPU; without a network, too, where tests/gpu/carry.sh
# packed .gpu/ before. From the project's root:
#
#   bash tests/gpu/run.sh                     all steps, about three minutes
#   bash tests/gpu/run.sh tests nearest       some: tests sanitizers enhance steps nearest convolutions
#
#   PYTHON=FILE    takes this Python as it is, and unpacks nothing
#
# Every step has a limit, may fail alone, and leaves what it prints in $OUT (out/gpu by default).
set -uo pipefail
ROOT=$PWD
[ -f pyproject.toml ] && [ -d radarsparse ] || { echo "start it from the project's root" >&2; exit 2; }
export PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 KINETO_LOG_LEVEL=99
OUT=${OUT:-$ROOT/out/gpu}
WORK=$(mktemp -d)
export XDG_CACHE_HOME=$WORK/cache
mkdir -p "$OUT" "$XDG_CACHE_HOME"
trap 'rm -rf "$WORK"' EXIT

unpack() { # beside what this machine's Python has, so that it may hold newer versions
    local parent site version wheel
    parent=$(python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    python3 -m venv --without-pip "$WORK/venv"
    PYTHON=$WORK/venv/bin/python
    site=$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    printf '%s\n%s\n' "$parent" "$ROOT" > "$site/parent.pth"
    for wheel in .gpu/wheels/*.whl; do python3 -m zipfile -e "$wheel" "$site"; done
    version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml | head -1)
    mkdir -p "$site/radarsparse-$version.dist-info"
    printf 'Metadata-Version: 2.1\nName: radarsparse\nVersion: %s\n' "$version" \
        > "$site/radarsparse-$version.dist-info/METADATA"
    [ ! -f .gpu/spconv.txz ] || tar -C "$site" -xJf .gpu/spconv.txz
}

if [ -z "${PYTHON:-}" ]; then
    if [ -d .gpu/wheels ]; then unpack; else PYTHON=.venv/bin/python; fi
fi

step() { # NAME SECONDS COMMAND...
    local name=$1 most=$2 began=$SECONDS status
    shift 2
    timeout -k 5 "$most" "$@" 2>&1 | tee "$OUT/$name.txt"
    status=${PIPESTATUS[0]}
    [ "$status" = 0 ] || FAILED="$FAILED $name"
    echo "=== $name: status $status, $((SECONDS - began)) s"
}

sanitize() { # all tools at once, each block of memory by itself, so that none can be mistaken for its neighbour
    local tool more
    export PYTORCH_NO_CUDA_MEMORY_CACHING=1 PYTHONPATH=$ROOT
    for tool in memcheck racecheck initcheck synccheck; do
        # cuda-bindings asks the driver for functions that only newer ones have.
        more=$([ $tool != memcheck ] || echo --report-api-errors no)
        { compute-sanitizer --tool $tool $more --error-exitcode 9 "$PYTHON" tests/kernels/small_case.py cuda \
            > "$OUT/$tool.txt" 2>&1; echo "$tool: status $?, $(tail -n 1 "$OUT/$tool.txt")"; } &
    done | tee "$OUT/sanitizers.txt"
    wait
    ! grep -qv 'status 0,' "$OUT/sanitizers.txt"
}

benchmark() { # NAME SECONDS WORDS...
    local name=$1 most=$2
    shift 2
    step "$name" "$most" "$PYTHON" tools/benchmark.py "$@"
}

[ $# -gt 0 ] || set -- tests sanitizers enhance steps nearest convolutions
FAILED=
nvidia-smi -L || { echo "no NVIDIA GPU" >&2; exit 2; }
for name; do
    case $name in
    tests) step tests 120 "$PYTHON" -m pytest -q -rfEs --tb=short -p no:cacheprovider -p no:benchmark -m "cuda and not slow" tests ;;
    sanitizers) export -f sanitize; export ROOT OUT PYTHON; step sanitizers 110 bash -c sanitize ;;
    enhance) benchmark enhance 60 enhance --repeats 3 ;;
    steps) benchmark steps 80 memory --batch-size 32 --precision bf16-mixed --repeats 4 ;;
    nearest) benchmark nearest 60 nearest --repeats 9 ;;
    convolutions) benchmark convolutions 60 sparse --repeats 5 ;;
    *) echo "no step '$name'" >&2; exit 2 ;;
    esac
done
[ -z "$FAILED" ] || { echo "failed:$FAILED" >&2; exit 1; }
