#!/usr/bin/env bash
# The quick checks: format, lints, the rules of the house, and the licences of
# the dependencies where cargo-deny is installed.
source "$(dirname "$0")/env.sh"
need_toolchain

say "format"
cargo fmt --all --check

say "lints"
cargo clippy --workspace --all-targets --locked -- -D warnings

say "rules of the house"
cargo xtask tidy

if cargo deny --version >/dev/null 2>&1; then
    scripts/deny.sh licenses bans sources
else
    say "licences, bans and sources: not checked, as cargo-deny is not installed"
fi
