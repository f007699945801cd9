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

service=$("$highwater" token --service --data "$folder/data")
ann=$("$highwater" token --user ann --data "$folder/data")

# The document, with ids that operations have in common, so that some find what
# others left; and something for them to find.
"$venv/bin/python" - "$url" "$service" "$folder/openapi.json" <<'PYTHON'
import json, sys, urllib.request

url, token, file = sys.argv[1:]
known = {"user": ["ann", "bob"], "owner": ["ann", "bob"], "to": ["ann", "bob"], "friend": ["bob", "eve"], "blocked": ["bob", "eve"],
         "group": ["tea", "org"], "conversation": ["u:bob", "g:tea", "s:news"]}

def with_known(name, schema):
    ids = {"enum": known[name]}
    return {"anyOf": [ids, ids, schema]}

api = json.load(urllib.request.urlopen(url + "/v1/openapi.json"))
for methods in api["paths"].values():
    for operation in methods.values():
        for parameter in operation["parameters"]:
            if parameter["in"] == "path" and parameter["name"] in known:
                parameter["schema"] = with_known(parameter["name"], parameter["schema"])
        for body in operation.get("requestBody", {}).get("content", {}).values():
            schema = api["components"]["schemas"].get(body["schema"].get("$ref", "").split("/")[-1], {})
            for name, field in schema.get("properties", {}).items():
                if name in known and "string" in field.get("type", []):
                    schema["properties"][name] = with_known(name, field)
json.dump(api, open(file, "w"))

def put(method, path, body):
    headers = {"authorization": "Bearer " + token, "content-type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(url + path, json.dumps(body).encode(), headers, method=method))

for group in known["group"]:
    put("POST", "/v1/groups", {"group": group, "name": group, "owner": "ann", "join_policy": "approval"})
    put("POST", f"/v1/groups/{group}/members:invite", {"users": ["bob", "cyd"]})
put("PUT", "/v1/users/eve/sent_friend_requests/ann", {})
put("POST", "/v1/admin/friends", {"pairs": [{"user": "ann", "friend": "bob"}]})
put("POST", "/v1/activity", {"activities": [{"conversation": {"group": "tea"}, "seq": 1, "at_ms": 1, "sender": "bob"}]})
PYTHON

# as WHO TOKEN EXAMPLES ARGUMENT…: requests of one asker.
as() {
    local who=$1 token=$2 examples=$3
    shift 3
    say "schemathesis, as $who"
    "$venv/bin/st" run "$folder/openapi.json" --url "$url" \
        --header "Authorization: Bearer $token" \
        --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance \
        --phases examples,coverage,fuzzing --max-examples "$examples" \
        --seed 1 --generation-database none --warnings off --no-color "$@"
}

arguments=("$@")
cd "$folder"
as "a user" "$ann" 5 "${arguments[@]}"
as "a service" "$service" 12 "${arguments[@]}"
kill -0 "$server" || die "the server is gone"
