#!/usr/bin/env bash
# Installs what is missing to build Highwater: a C compiler (SQLite and
# Zstandard are compiled from source), make, and Rust. With --checks also
# rustfmt and clippy. Where nothing is missing it changes nothing and asks for
# nothing.
source "$(dirname "$0")/env.sh"

checks=false
[ "${1:-}" != --checks ] || checks=true

# Whether there is a C compiler that finds the C library's headers.
c_works() { have cc && echo '#include <stdlib.h>' | cc -E -x c - >/dev/null 2>&1; }

build_tools() {
    local missing=()
    c_works || missing+=(gcc libc6-dev)
    have make || missing+=(make)
    # What cargo and rustup check the registries' certificates against.
    [ -e /etc/ssl/certs/ca-certificates.crt ] || [ -e /etc/ssl/cert.pem ] ||
        [ -e /etc/pki/tls/certs/ca-bundle.crt ] || missing+=(ca-certificates)
    [ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
}

# Rust through rustup, from its official site. Returns 1 where that cannot be
# reached.
rust_from_rustup() {
    if ! have rustup; then
        have curl || install_packages curl
        say "installing Rust $rust_pinned through rustup"
        local script status=0
        script=$(mktemp)
        curl --proto '=https' --tlsv1.2 -sSf --connect-timeout 10 --max-time 60 \
            https://sh.rustup.rs -o "$script" &&
            timeout 600 sh "$script" -y --no-modify-path --profile minimal \
                --component rustfmt,clippy --default-toolchain "$rust_pinned" >&2 || status=1
        rm -f "$script"
        hash -r
        return $status
    fi
    say "installing Rust $rust_pinned"
    RUST_BACKTRACE=0 RUSTUP_MAX_RETRIES=1 timeout 600 rustup toolchain install "$rust_pinned" --no-self-update --profile minimal \
        --component rustfmt,clippy >&2
}

# Rust from Debian's packages, of which one is kept new for web browsers.
# Returns 1 where it is too old.
rust_from_packages() {
    have apt-get || return 1
    update_packages
    local suffix candidate
    for suffix in "" -web; do
        candidate=$(apt-cache policy "rustc$suffix" | awk '/Candidate:/ {print $2}')
        if [ -n "$candidate" ] && [ "$candidate" != "(none)" ] && at_least "$candidate" "$rust_pinned"; then
            install_packages "rustc$suffix" "cargo$suffix"
            hash -r
            return
        fi
    done
    return 1
}

rust() {
    # What a person chose stands.
    [ -z "${RUSTUP_TOOLCHAIN:-}" ] || return 0
    if uses_rustup; then
        pinned_is_installed && return
    else
        choose_toolchain && return
    fi
    rust_from_rustup && choose_toolchain && return
    say "Rust $rust_pinned cannot be had through rustup here"
    choose_toolchain && return
    rust_from_packages && choose_toolchain && return
    die "no Rust $rust_pinned or newer can be installed here: install it by hand (https://rustup.rs), then try again"
}

# rustfmt and clippy, for the toolchain that was chosen.
check_tools() {
    if cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1; then
        return
    fi
    if uses_rustup; then
        say "installing rustfmt and clippy"
        RUST_BACKTRACE=0 rustup component add rustfmt clippy >&2
    elif [ "$(command -v cargo)" = /usr/bin/cargo ] && dpkg -s cargo-web >/dev/null 2>&1; then
        install_packages rustfmt-web rust-web-clippy
    elif [ "$(command -v cargo)" = /usr/bin/cargo ] && have apt-get; then
        install_packages rustfmt rust-clippy
    else
        die "rustfmt and clippy are missing: install them beside $(command -v cargo)"
    fi
}

build_tools
rust
! $checks || check_tools
