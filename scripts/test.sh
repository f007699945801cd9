#!/usr/bin/env bash
# Runs all tests: with cargo-nextest where it is installed, otherwise with
# cargo's own runner, and then the examples in the documentation. What follows
# on the command line goes to the first.
source "$(dirname "$0")/env.sh"
need_toolchain

if cargo nextest --version >/dev/null 2>&1; then
    say "tests"
    cargo nextest run --workspace --locked "$@"
else
    say "tests, with cargo's own runner as cargo-nextest is not installed"
    cargo test --workspace --all-targets --no-fail-fast --locked "$@"
fi
say "examples in the documentation"
cargo test --workspace --doc --locked
