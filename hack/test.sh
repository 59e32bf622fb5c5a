#!/usr/bin/env bash
# All tests, with what they run against made first: control plane, NATS, models. Prints `N passed, N failed` last.
#
#   hack/test.sh [vitest arguments, e.g. --project unit]
set -euo pipefail
cd "$(dirname "$0")/.."

# Before the minutes of building, so that a missing tool costs seconds.
hack/need git make node npm python3 go
hack/run true
models/build all
models/build test
hack/nats-server.sh >/dev/null
for module in etcd kubernetes helm s3; do hack/go-tools.sh "$module" >/dev/null; done

results=$(mktemp -d)/results.json
status=0
hack/run vitest run --reporter=default --reporter=json --outputFile.json="$results" "$@" || status=$?
hack/run node hack/summary.ts "$results" || status=1
exit "$status"
