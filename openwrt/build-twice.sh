#!/usr/bin/env bash
# Builds targets twice, from two clones of the last commit in folders of different names and
# depths, each with tools and caches of its own, and compares programs and packages byte for
# byte: whoever has the source can see that a package was made of it.
#
# usage: openwrt/build-twice.sh FOLDER TARGET...
#
# FOLDER takes the clones (some 3 GB each for one target); what was built there is built no
# more. Exit status: 0 the same bytes, 1 not, 2 wrong usage.
set -euo pipefail
[ $# -ge 2 ] || { sed -n 's/^# usage:/usage:/p' "$0" >&2 && exit 2; }
top=$(cd "$(dirname "$0")/.." && pwd)
folder=$(realpath -m "$1")
shift

clones=("$folder/one" "$folder/another/place/two")
for clone in "${clones[@]}"; do
  [ -d "$clone" ] || git clone -q "$top" "$clone"
  # Also the C library is built twice.
  ZIG_GLOBAL_CACHE_DIR=$clone/target/zig "$clone/openwrt/build.sh" "$@"
done
differing=$(for part in bin packages; do diff -rq "${clones[0]}/target/openwrt/$part" "${clones[1]}/target/openwrt/$part"; done) || true
if [ -n "$differing" ]; then
  printf '%s\n' "$differing" >&2
  exit 1
fi
(cd "${clones[0]}/target/openwrt" && sha256sum bin/*/* packages/*.ipk packages/*/*.apk)
echo "the same bytes, twice: $*"
