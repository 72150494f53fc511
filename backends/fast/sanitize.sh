#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The C core and the extension under AddressSanitizer and UndefinedBehaviorSanitizer; any finding ends it.
#
#     backends/fast/sanitize.sh [PYTHON]
set -eu
cd "$(dirname "$0")/../.."
python=$(command -v "${1:-.venv/bin/python}")
compiler=${CC:-cc}
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT

cmake -S backends/fast -B "$build" -DE4_FAST_TESTS=ON -DE4_FAST_SANITIZE=ON -DPython_EXECUTABLE="$python" > /dev/null
cmake --build "$build" --parallel 2 > /dev/null
"$build/check"
"$build/check_full"

# Python itself is not built with them: their library comes first, no leaks are sought (check does that),
# and every object has its own allocation, so that one byte too many is seen. In emulated ARM another comes first.
LD_PRELOAD=$("$compiler" -print-file-name=libasan.so) \
ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:verify_asan_link_order=0 \
PYTHONMALLOC=malloc E4_FAST_SANITIZE=1 CC="$compiler" \
    "$python" -m pytest -p no:cacheprovider tests/backends/fast
