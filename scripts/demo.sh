#!/usr/bin/env bash
# The main job, as a user does it: start the service on this repository's own folders, drop a prompt and a photograph
# with its prompt, watch, stop, and name what came out.
set -euo pipefail
cd "$(dirname "$0")/.."
dropreel=.build/release/dropreel

echo "Starting the service on inbox/, outbox/ and rules/ ..."
mkdir -p state
"$dropreel" serve --config etc/dropreel.toml >state/demo.log 2>&1 &
service=$!
trap 'kill "$service" 2>/dev/null || true' EXIT

marker=$(mktemp)
run=$(date +%H%M%S)
cp docs/samples/boat.prompt "inbox/boat-$run.prompt"
cp docs/samples/coffee.jpg "inbox/coffee-$run.jpg"
cp docs/samples/coffee.prompt "inbox/coffee-$run.prompt"
echo "Dropped inbox/boat-$run.prompt, inbox/coffee-$run.jpg and inbox/coffee-$run.prompt"

status=0
"$dropreel" status --config etc/dropreel.toml --follow --expect 2 || status=$?
kill -TERM "$service" 2>/dev/null || true
wait "$service" 2>/dev/null || true
trap - EXIT

echo
echo "Videos and logs:"
found=$(find outbox -newer "$marker" \( -name "*-$run*.mp4" -o -name "*-$run*.json" \) | sort)
rm -f "$marker"
echo "${found:-none}" | sed 's/^/  /'
if [[ $(grep -c '\.mp4$' <<<"$found") -ne 2 || $(grep -c '\.json$' <<<"$found") -ne 2 ]]; then
    echo "error: two videos and two logs were expected; the service's log is state/demo.log" >&2
    exit 70
fi
exit "$status"
