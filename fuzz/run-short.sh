#!/usr/bin/env bash
# Runs each fuzz target for a few seconds: bash fuzz/run-short.sh [SECONDS] [TARGET…]
#
# Built with the pinned stable toolchain: coverage instrumentation is a matter of two stable code generation options,
# and without the address sanitizer (which asks for a nightly compiler) little is missed, since what is fuzzed has no
# `unsafe` of ours. The layout is cargo-fuzz's, so whoever has that uses it for longer runs:
# `cargo fuzz run --sanitizer none websocket`.
#
# A crash ends the run; its input is in fuzz/artifacts, and this replays it: bash fuzz/run-short.sh 0 TARGET FILE
set -euo pipefail
replayed=$(realpath -- "${3:-.}")
cd "$(dirname "${BASH_SOURCE[0]}")"

seconds=${1:-20}
all=$(sed -n 's|^path = "targets/\(.*\)\.rs"$|\1|p' Cargo.toml)
host=$(rustc -vV | sed -n 's/^host: //p')

# Only for the target, which a triple tells apart from build scripts and macros: those know nothing of libFuzzer.
export RUSTFLAGS="-Cpasses=sancov-module -Ccodegen-units=1 \
-Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
echo "fuzz: building"
# The versions that the workspace has, and libFuzzer besides: a lock of our own would only fall behind.
cp ../Cargo.lock Cargo.lock
cargo build --release --quiet --target "$host"
built=${CARGO_TARGET_DIR:-target}/$host/release

if [[ $seconds == 0 ]]; then
    exec "$built/$2" "$replayed"
fi
if (($# > 1)); then
    all=${*:2}
fi

python3 seed.py
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for target in $all; do
    mkdir -p "corpus/$target" "artifacts/$target"
    printf 'fuzz: %s for %s s\n' "$target" "$seconds"
    # -timeout: an input that takes longer than five seconds is a finding, too.
    if ! "$built/$target" "corpus/$target" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=2048 -max_len=8192 \
        -artifact_prefix="artifacts/$target/" -print_final_stats=1 -verbosity=1 >"$log" 2>&1; then
        tail -n 60 "$log"
        echo "fuzz: $target FAILED; its input is in fuzz/artifacts/$target"
        exit 1
    fi
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    cover=$(grep -o 'cov: [0-9]*' "$log" | tail -n 1)
    printf 'fuzz: %s found nothing in %s runs, %s\n' "$target" "$runs" "$cover"
done
