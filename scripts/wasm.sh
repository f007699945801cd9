#!/usr/bin/env bash
# Compiles protocol and core for WebAssembly: the proof that they reach no
# operating system. Takes the target of the Rust that is used, which rustup
# adds; where rustup's site cannot be reached, Debian's packages do the same,
# with the standard library compiled from source. WASM_RUST=rustup or
# WASM_RUST=debian asks for one of them.
source "$(dirname "$0")/env.sh"
need_toolchain

wasm=wasm32-unknown-unknown
build=(build --locked --lib --target "$wasm" -p highwater-protocol -p highwater-core)

rustup_has_target() { rustup target list --installed 2>/dev/null | grep -qx "$wasm"; }

# Returns 1 where the target is not there and cannot be downloaded.
with_rustup() {
    uses_rustup || return 1
    if ! rustup_has_target; then
        say "adding the target $wasm"
        RUST_BACKTRACE=0 timeout 120 rustup target add "$wasm" >&2 || return 1
        rustup_has_target || return 1
    fi
    say "$wasm: protocol and core"
    # In the common folder: what runs on the host is built once for all checks.
    cargo "${build[@]}" || exit
}

with_debian() {
    have apt-get || return 1
    # No C is compiled for the target, so that no clang is needed.
    local package missing=()
    for package in rustc-web cargo-web rust-web-src lld-19; do
        dpkg -s "$package" 2>/dev/null | grep -q '^Status: install ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] || install_packages "${missing[@]}" || return 1
    say "$wasm: protocol and core, with Debian's $(/usr/bin/rustc --version)"
    # RUSTC_BOOTSTRAP lets a stable compiler take -Zbuild-std; another compiler
    # needs a folder of its own.
    env -u RUSTUP_TOOLCHAIN RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc \
        CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld-19 \
        CARGO_TARGET_DIR="$target/wasm-debian" \
        /usr/bin/cargo "${build[@]}" -Zbuild-std=std,panic_abort \
        --config 'profile.dev.package."*".opt-level=0' || exit
}

case "${WASM_RUST:-}" in
rustup) with_rustup || die "rustup cannot add the target $wasm here" ;;
debian) with_debian || die "Debian's packages for $wasm cannot be installed here" ;;
"")
    with_rustup || with_debian ||
        die "nothing here compiles for $wasm: run \`rustup target add $wasm\` where the network allows, or install Debian's rustc-web, cargo-web, rust-web-src and lld-19"
    ;;
*) die "WASM_RUST is rustup or debian, not ${WASM_RUST}" ;;
esac
