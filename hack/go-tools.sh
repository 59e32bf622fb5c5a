#!/usr/bin/env bash
# Builds the programs that hack/<module>/go.mod names in its `tool` block, once, into a cache folder whose
# name is the hash of what pins them; prints that folder on stdout and its progress on stderr.
#
#   hack/go-tools.sh kubernetes|etcd|helm|s3
#
# Upstream code, pinned by go.sum and checked by the Go checksum database: nothing is vendored or patched.
set -euo pipefail
module=${1:?usage: hack/go-tools.sh kubernetes|etcd|helm|s3}
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/$module"

say() { printf '\033[2m[tools]\033[0m %s\n' "$*" >&2; }

# Raise the number when the flags of the build change; a message may change without minutes of building.
key=$( (cat go.mod go.sum; echo build-1) | sha256sum | cut -c1-16)
out=${AUTOGLM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/autoglm}/tools/$module-$key
if [ -e "$out/.complete" ]; then echo "$out"; exit 0; fi

command -v go >/dev/null || {
  echo "missing: go (1.26 or newer) to build $module from source." >&2
  echo "get it:  https://go.dev/dl/ , or install your system's package 'golang'. Only 'make test' and 'make up' need it." >&2
  exit 3
}

version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes 2>/dev/null || true)
ldflags='-s -w'
if [ -n "$version" ]; then
  IFS=. read -r major minor _ <<<"${version#v}"
  base=k8s.io/component-base/version
  ldflags="$ldflags -X $base.gitVersion=$version -X $base.gitMajor=$major -X $base.gitMinor=$minor"
fi

mkdir -p "$out"
say "building $module (once; cached in $out)"
started=$(date +%s)
for package in $(go list tool); do
  name=$(basename "$package")
  # The etcd server's main package is the root of its module: its last path element is the major version.
  if [[ $package == go.etcd.io/etcd/server/v3 ]]; then name=etcd; fi
  say "  $name …"
  CGO_ENABLED=0 go build -trimpath -ldflags "$ldflags" -o "$out/$name" "$package"
done
touch "$out/.complete"
say "built $module in $(( $(date +%s) - started )) s"
echo "$out"
