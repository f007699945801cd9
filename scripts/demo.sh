#!/usr/bin/env bash
# Builds the release and runs `highwater demo`; arguments go to it.
source "$(dirname "$0")/env.sh"
need_toolchain

say "building the release"
cargo build --release --locked --package highwater
exec "$target/release/highwater" demo "$@"
