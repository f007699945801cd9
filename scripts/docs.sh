#!/usr/bin/env bash
# Builds the documentation of all crates; a broken link in it is an error.
source "$(dirname "$0")/env.sh"
need_toolchain

say "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
