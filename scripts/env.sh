# Sourced by every script here: where things are, how to speak, and which
# toolchain to use. Sourcing it changes nothing on the machine.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Where rustup puts cargo, in a shell that does not know it yet.
cargo_bin="${CARGO_HOME:-$HOME/.cargo}/bin"
case ":$PATH:" in
*":$cargo_bin:"*) ;;
*) export PATH="$cargo_bin:$PATH" ;;
esac

# Where cargo puts what it builds.
target="${CARGO_TARGET_DIR:-target}"

say() { printf '== %s\n' "$*" >&2; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# Runs a command as root, through sudo if need be.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        die "this needs root, and there is no sudo: run as root: $*"
    fi
}

# Learns which packages there are: once in a run, and only if one is needed.
packages_known=false
update_packages() {
    $packages_known && return
    say "apt-get update"
    as_root apt-get update -qq >/dev/null
    packages_known=true
}

# install_packages NAME…: from Debian's or Ubuntu's packages.
install_packages() {
    have apt-get || die "please install, as there is no apt-get here: $*"
    update_packages
    say "apt-get install $*"
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# The lowest Rust that builds this, as rust-toolchain.toml pins it.
rust_pinned=$(sed -n 's/^channel *= *"\(.*\)"/\1/p' rust-toolchain.toml)

# at_least 1.96.0 1.95.0: whether the first version is the second or newer.
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; }

# The version that a rustc, called by these words, says it has.
version_of() { "$@" --version 2>/dev/null | awk '{print $2}' | grep . || echo 0; }

# Whether the cargo that is called here is rustup's.
uses_rustup() {
    have rustup && [ "$(dirname "$(command -v cargo)")" = "$(dirname "$(command -v rustup)")" ]
}

# Whether rustup has the pinned toolchain.
pinned_is_installed() {
    rustup toolchain list | awk '{print $1}' | grep -qE "^${rust_pinned//./\\.}(-|\$)"
}

# Chooses a toolchain out of those that are there: the pinned one, or else any
# that is no older, a stable one first. Returns 1 if there is none.
choose_toolchain() {
    have cargo && have rustc || return 1
    if ! uses_rustup; then
        at_least "$(version_of rustc)" "$rust_pinned"
        return
    fi
    [ -z "${RUSTUP_TOOLCHAIN:-}" ] || return 0
    pinned_is_installed && return
    local name
    for name in $(rustup toolchain list | awk '{print $1}' | grep -v nightly) \
        $(rustup toolchain list | awk '{print $1}' | grep nightly); do
        if at_least "$(version_of rustup run "$name" rustc)" "$rust_pinned"; then
            export RUSTUP_TOOLCHAIN="$name"
            say "Rust $rust_pinned is not installed: using $name"
            return
        fi
    done
    return 1
}

# For every script but setup.sh, which brings a toolchain if there is none.
need_toolchain() {
    choose_toolchain || die "no Rust $rust_pinned or newer is installed: run scripts/setup.sh"
}
