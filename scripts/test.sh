#!/usr/bin/env bash
# Runs all tests: with cargo-nextest where it is installed, otherwise with
# cargo's own runner, and then the examples in the documentation. Arguments, as in
# `scripts/test.sh -p highwater-core`, choose some of the tests instead.
source "$(dirname "$0")/env.sh"
need_toolchain

examples=false
if [ $# = 0 ]; then
    examples=true
    set -- --workspace
fi

if cargo nextest --version >/dev/null 2>&1; then
    say "tests"
    cargo nextest run --locked "$@"
else
    say "tests, with cargo's own runner as cargo-nextest is not installed"
    cargo test --all-targets --no-fail-fast --locked "$@"
fi
if $examples; then
    say "examples in the documentation"
    cargo test --workspace --doc --locked
fi
