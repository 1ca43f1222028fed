#!/usr/bin/env bash
# Formats all sources; --check only reports (exit 1 when something would change).
cd "$(dirname "$0")/.."
mode=-i
[ "${1:-}" = "--check" ] && mode="--dry-run --Werror"
git ls-files '*.h' '*.cpp' '*.cu' '*.cuh' | xargs -r clang-format $mode
