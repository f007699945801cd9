#!/usr/bin/env bash
# Checks the dependencies against deny.toml: deny.sh licenses bans sources.
# Only the check called advisories needs a network.
source "$(dirname "$0")/env.sh"
need_toolchain

cargo deny --version >/dev/null 2>&1 ||
    die "cargo-deny is not installed: cargo install --locked cargo-deny"
say "dependencies: $*"
case " $* " in
*" advisories "*) cargo deny --locked check "$@" ;;
*) cargo deny --locked --offline --log-level error check --hide-inclusion-graph "$@" ;;
esac
