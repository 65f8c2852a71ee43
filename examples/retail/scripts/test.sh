#!/bin/sh
# Starts a component as its image will and asks it who it is.
set -eu
component=$1
log=$(mktemp)
RELEASE_FILE=$component/release.toml ./bin/demo serve --host 127.0.0.1 --port 0 --admin-port 0 > "$log" &
server=$!
trap 'kill "$server"; rm -f "$log"' EXIT
until [ -s "$log" ]; do kill -0 "$server"; done
url=$(sed -n '1s/.*"url":"\([^"]*\)".*/\1/p' "$log")
./bin/demo check get "$component is up" "$url/api/v1/health" '"UP"'
./bin/demo check get "$component says its name" "$url/" "$component"
