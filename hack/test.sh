#!/usr/bin/env bash
# All tests, with what they run against made first: control plane, NATS, models. Prints `N passed, N failed` last.
#
#   hack/test.sh [vitest arguments, e.g. --project unit]
set -euo pipefail
cd "$(dirname "$0")/.."

hack/run true
# Named before the minutes of building, so that a missing tool costs seconds.
for tool in go python3; do
  command -v "$tool" >/dev/null || { echo "missing: $tool (make test needs git, make, Node.js >= 20, Python 3 with venv and pip, Go >= 1.26)" >&2; exit 3; }
done
models/build demo
models/build test
hack/nats-server.sh >/dev/null
for module in etcd kubernetes helm; do hack/go-tools.sh "$module" >/dev/null; done

results=$(mktemp -d)/results.json
status=0
hack/run vitest run --reporter=default --reporter=json --outputFile.json="$results" "$@" || status=$?
hack/run node hack/summary.ts "$results" || status=1
exit "$status"
