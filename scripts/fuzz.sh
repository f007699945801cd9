#!/usr/bin/env bash
# Goes on fuzzing: each target for so many minutes (default 5), one after the
# other, from the corpus in the repository. `scripts/fuzz.sh 30 replica answer`
# chooses targets. Needs a nightly toolchain; installs cargo-fuzz if it is
# missing. `scripts/fuzz.sh --minimise` makes the corpus as small as it can be
# without covering less.
source "$(dirname "$0")/env.sh"
need_toolchain

# Files of the corpus for each target.
files_max=100

nightly_is_there() { have rustup && rustup toolchain list | grep -q '^nightly'; }

nightly_is_there ||
    die "fuzzing needs a nightly toolchain, as libFuzzer's instrumentation is not in a stable one: rustup toolchain install nightly"
if ! cargo fuzz --version >/dev/null 2>&1; then
    say "installing cargo-fuzz"
    cargo install --locked cargo-fuzz
fi

minutes=5
minimise=false
case "${1:-}" in
--minimise) minimise=true && shift ;;
[0-9]*) minutes=$1 && shift ;;
esac
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cargo +nightly fuzz list)

# cargo-fuzz keeps what it builds in fuzz/target, whatever CARGO_TARGET_DIR says.
fuzz_target="${FUZZ_TARGET_DIR:-fuzz/target}"
run() { cargo +nightly fuzz "$1" --target-dir "$fuzz_target" "${@:2}"; }

say "building ${#targets[@]} targets"
run build

failed=()
for name in "${targets[@]}"; do
    if $minimise; then
        say "$name: minimising its corpus"
        run cmin "$name"
        continue
    fi
    say "$name: $minutes minutes"
    run run "$name" -- -max_total_time=$((minutes * 60)) -timeout=20 -rss_limit_mb=2048 \
        -max_len=8192 -print_final_stats=1 || failed+=("$name")
done
if $minimise; then
    cargo run --quiet --locked -p highwater-fuzz -- cap fuzz/corpus "$files_max"
fi
[ ${#failed[@]} = 0 ] || die "found something in: ${failed[*]}; the inputs are in fuzz/artifacts"
say "nothing was found"
