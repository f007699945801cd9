#!/usr/bin/env bash
# Builds the release and measures it; arguments go to `highwater-bench`.
source "$(dirname "$0")/env.sh"
need_toolchain

say "building the release"
cargo build --release --locked --package highwater --package highwater-bench
exec "$target/release/highwater-bench" "$@"
