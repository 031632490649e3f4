#!/usr/bin/env bash
# Packs what a machine with an NVIDIA GPU, torch for CUDA and no network lacks into .gpu/, which git is told to ignore:
# wheels of Python 3.12, and spconv, packed anew so that it is small. Then, from the root of a copy of the project that
# has .gpu/ in it: bash tests/gpu/run.sh
#
#   bash tests/gpu/carry.sh     from the project's root; needs a network, takes two minutes once
set -euo pipefail
[ -f pyproject.toml ] && [ -d radarsparse ] || { echo "start it from the project's root" >&2; exit 2; }
TO=$PWD/.gpu
mkdir -p "$TO"
grep -qsx '/.gpu/' .git/info/exclude || echo '/.gpu/' >> .git/info/exclude

get() { # FOLDER PACKAGE...
    local folder=$1
    shift
    python3 -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
        --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux_2_24_x86_64 \
        --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 --platform manylinux1_x86_64 \
        --dest "$folder" "$@" 2> >(grep -v 'is ignored: it is neither' >&2)
}

pinned() { # PACKAGE...: with the project's version where it pins one
    local name line
    for name; do
        line=$(grep -i -m1 "^${name//[-_]/[-_]}==" constraints.txt || true)
        line=${line%%;*}
        echo "${line:-$name}"
    done
}

if [ ! -d "$TO/wheels" ]; then
    rm -rf "$TO/wheels.part"
    # shellcheck disable=SC2046
    get "$TO/wheels.part" $(pinned pydantic pydantic_core annotated-types typing-inspection typing_extensions plyfile \
        pypcd4 python-neo-lzf lightning-fabric beartype cuda-core)
    mv "$TO/wheels.part" "$TO/wheels"
fi

if [ ! -f "$TO/spconv.txz" ]; then
    made=$(mktemp -d)
    get "$made/wheels" spconv-cu126==2.3.8 cumm-cu126==0.7.11 pccm ccimport fire lark termcolor
    mkdir "$made/site"
    for wheel in "$made"/wheels/*.whl; do python3 -m zipfile -e "$wheel" "$made/site"; done
    tar -C "$made/site" -cf - . | xz -9 > "$TO/spconv.txz.part"
    mv "$TO/spconv.txz.part" "$TO/spconv.txz"
    rm -rf "$made"
fi
du -sh "$TO"
