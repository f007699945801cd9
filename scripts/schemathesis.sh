#!/usr/bin/env bash
# Property-based tests of the HTTP API: schemathesis makes requests from the
# OpenAPI document of a server that runs here, with a fixed seed, and looks for
# server errors and for answers that the document does not declare. Arguments go to
# it: scripts/schemathesis.sh --max-examples 1000
source "$(dirname "$0")/env.sh"
need_toolchain

target=$(realpath -m "$target")
version=4.32.5
venv="$target/schemathesis-$version"
if ! "$venv/bin/st" --version >/dev/null 2>&1; then
    # Debian's python has venv, and what it needs, in a package of its own.
    python3 -c 'import venv, ensurepip' >/dev/null 2>&1 || install_packages python3 python3-venv
    say "installing schemathesis $version"
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version"
fi

say "building the server"
cargo build --locked --package highwater
highwater="$target/debug/highwater"

folder=$(mktemp -d)
server=
end() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    [ -z "$server" ] || wait "$server" 2>/dev/null || true
    rm -rf "$folder"
}
trap end EXIT

"$highwater" serve --data "$folder/data" --listen 127.0.0.1:0 >"$folder/address" 2>"$folder/log" &
server=$!
for _ in $(seq 100); do
    url=$(grep -oE 'http://[0-9.:]+' "$folder/address" | head -n 1) && break
    sleep 0.1
done
[ -n "${url:-}" ] || {
    cat "$folder/log" >&2
    die "the server does not start"
}

# The document, with ids that operations have in common, so that some find what
# others left.
"$venv/bin/python" - "$url/v1/openapi.json" "$folder/openapi.json" <<'PYTHON'
import json, sys, urllib.request

known = {"user": ["ann", "bob"], "friend": ["bob", "eve"], "blocked": ["bob", "eve"], "group": ["tea", "org"],
         "conversation": ["u:bob", "g:tea", "s:news"]}
api = json.load(urllib.request.urlopen(sys.argv[1]))
for methods in api["paths"].values():
    for operation in methods.values():
        for parameter in operation["parameters"]:
            if parameter["in"] == "path" and parameter["name"] in known:
                ids = {"enum": known[parameter["name"]]}
                parameter["schema"] = {"type": "string", "anyOf": [ids, ids, parameter["schema"]]}
json.dump(api, open(sys.argv[2], "w"))
PYTHON

# as WHO EXAMPLES TOKEN…: requests of one asker.
as() {
    local who=$1 examples=$2
    shift 2
    local token
    token=$("$highwater" token "$@" --data "$folder/data")
    say "schemathesis, as $who"
    "$venv/bin/st" run "$folder/openapi.json" --url "$url" \
        --header "Authorization: Bearer $token" \
        --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance \
        --phases examples,coverage,fuzzing --max-examples "$examples" \
        --seed 1 --generation-database none --no-color "${arguments[@]}"
}

arguments=("$@")
cd "$folder"
as "a service" 15 --service
as "a user" 5 --user ann
kill -0 "$server" || die "the server is gone"
