#!/usr/bin/env bash
# Builds fau3 for routers, as static binaries, and packs them for OpenWrt. Needs a
# Debian machine, one rustup toolchain, and the registries of Debian, PyPI and crates.io.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)

usage() {
  cat <<USAGE
usage: openwrt/build.sh [OPTION]... TARGET...

  TARGET         aarch64, armv7, mipsel, mips, x86_64, or all
  --work DIR     where everything goes (default: target/openwrt): tools/, cargo/,
                 bin/TARGET/ (the binaries), packages/ (.ipk and .apk)
  --tools        only bring up the tools; needs no TARGET
  --sim          the simulator, too, so that its traces can be compared
  --no-packages  only the binaries
  --sqlite-flags prints what SQLite is built with, and builds nothing

example: openwrt/build.sh mipsel
USAGE
}

wrong() {
  printf '%s\n\n' "$1" >&2
  usage >&2
  exit 2
}

# --- what is asked for -------------------------------------------------------

work=$top/target/openwrt
targets=() sim='' packages=1 tools_only='' only_flags=''
field() { # field TARGET NUMBER: of the table of architectures
  awk -v target="$1" -v number="$2" '$1 == target { print $number }' "$top/openwrt/package/architectures"
}
while [ $# -gt 0 ]; do
  case $1 in
    --work) [ $# -gt 1 ] || wrong "--work needs a folder"; work=$(realpath -m "$2"); shift ;;
    --tools) tools_only=1 ;;
    --sim) sim=1 ;;
    --no-packages) packages='' ;;
    --sqlite-flags) only_flags=1 ;;
    -h | --help) usage; exit 0 ;;
    all) targets+=(aarch64 armv7 mipsel mips x86_64) ;;
    -*) wrong "there is no option $1" ;;
    *) [ -n "$(field "$1" 2)" ] || wrong "there is no target $1"; targets+=("$1") ;;
  esac
  shift
done
[[ $top$work != *[[:space:]]* ]] || wrong "there may be no space in the names of folders: $top, $work"
[ -n "$tools_only$only_flags" ] || [ ${#targets[@]} -gt 0 ] || wrong "which TARGET?"

# --- the tools ---------------------------------------------------------------

# A compiler whose standard library comes as source, since there is none built for
# MIPS; unpacked, not installed, so that nothing here changes what the machine has.
debian=(rustc-web libstd-rust-web-dev rust-web-src qemu-user-static)
# Linker, C compiler, musl and unwinder for all targets, what makes cargo use them, and
# what packs some 3 % smaller than gzip, for the same unpacker.
python=(ziglang==0.17.0 cargo-zigbuild==0.24.0 zopfli==0.4.3)

missing() {
  printf 'openwrt/build.sh: %s\n' "$@" >&2
  exit 1
}

# What has to be on the machine itself, with the command that brings it there.
machine() {
  local program lacking=() wanted has
  command -v apt-get >/dev/null || missing "this needs Debian: there is no apt-get here"
  command -v cargo >/dev/null || missing "cargo is missing: install rustup (https://rustup.rs) and a stable toolchain"
  wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$top/Cargo.toml")
  has=$(cargo --version | cut -d ' ' -f 2)
  [ "$(printf '%s\n' "$wanted" "$has" | sort -V | head -n 1)" = "$wanted" ] ||
    missing "cargo is of $has, and has to be of $wanted or newer: rustup update stable"
  for program in python3:python3 cc:gcc; do
    command -v "${program%%:*}" >/dev/null || lacking+=("${program##*:}")
  done
  python3 -c 'import ensurepip' 2>/dev/null || lacking+=(python3-venv)
  [ ${#lacking[@]} -gt 0 ] || return 0
  [ "$(id -u)" = 0 ] || missing "these are missing, and only root can install them: apt-get install ${lacking[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${lacking[@]}" >/dev/null
}

# The Debian packages' dependencies that are needed, too: the standard library
# itself, whose name has the version, and the compiler's LLVM.
download() {
  local package
  apt-get -qq download "${debian[@]}" || return 1
  for package in $(dpkg-deb -f libstd-rust-web-dev_*.deb Depends | grep -oE 'libstd-rust-web-[0-9.]+' | sort -u); do
    apt-get -qq download "$package" || return 1
  done
  apt-get -qq download "$(dpkg-deb -f libstd-rust-web-[0-9]*.deb Depends | grep -oE 'libllvm[0-9]+' | head -1)"
}

bring_tools() {
  machine
  local stamp=$work/tools/complete wanted="${debian[*]} ${python[*]}"
  # What was interrupted is begun anew.
  if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then return; fi
  local tools=$work/tools deb
  rm -rf "$tools"
  mkdir -p "$tools/deb" "$tools/root"
  cd "$tools/deb"
  if ! download 2>"$tools/apt.log" && [ "$(id -u)" = 0 ]; then
    # A machine that has never asked what there is.
    apt-get update -qq
    download 2>"$tools/apt.log" || true
  fi
  for deb in "${debian[@]}" libllvm; do
    compgen -G "$deb*.deb" >/dev/null ||
      missing "Debian's $deb could not be had (as root: apt-get update); apt-get says:" "$(tail -3 "$tools/apt.log")"
  done
  for deb in *.deb; do dpkg-deb -x "$deb" "$tools/root"; done
  cd "$top"
  rm -r "$tools/deb"
  python3 -m venv "$tools/venv"
  "$tools/venv/bin/pip" install -q --disable-pip-version-check "${python[@]}" ||
    missing "PyPI's ${python[*]} could not be had, see above"
  # The unpacked compiler finds its own libraries, wherever the folder is moved to.
  # shellcheck disable=SC2016 # for that script to expand
  printf '#!/bin/sh\nR=${0%%/*}/root/usr\nLD_LIBRARY_PATH=$(echo $R/lib/*-linux-gnu) exec $R/bin/rustc "$@"\n' >"$tools/rustc"
  chmod +x "$tools/rustc"
  "$tools/rustc" --version
  echo "$wanted" >"$stamp"
}

# --- the binaries ------------------------------------------------------------

# What each flag does for size, and costs, is measured in docs/openwrt.md.
flags() {
  local tools=$work/tools
  echo "-C link-self-contained=no -C target-feature=+crt-static" \
    "-C relocation-model=static -C force-unwind-tables=no -Z location-detail=none -Z fmt-debug=shallow" \
    "-C no-vectorize-loops -C no-vectorize-slp -C llvm-args=-enable-machine-outliner=never --cfg sha2_backend_soft=\"compact\"" \
    "--remap-path-prefix=$top/=" "--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}/registry/src/=/" \
    "--remap-path-prefix=$tools/root/usr/lib/rustlib/src/rust/=/" "--remap-path-prefix=$tools/root/usr/src/=/"
}

# To C compilers "-Oz" is smaller than "-Os", and zig takes the one for the other.
c_flags() {
  echo "-Xclang -Oz -mno-outline -fno-unwind-tables -fno-asynchronous-unwind-tables -fno-pic"
}

# SQLite without what is not used of it: full text, geography, JSON, dates, extensions and the like.
# Its parser comes generated, and knows statements whose code is left out: they do nothing.
sqlite() {
  printf -- '-Dsqlite3%s(...)= ' Alter{AddConstraint,BeginAddColumn,DropColumn,DropConstraint,FinishAddColumn} \
    Alter{RenameColumn,RenameTable,SetNotNull} Analyze Reindex Vtab{ArgExtend,ArgInit,BeginParse,FinishParse} \
    CreateView {Begin,Drop,Finish}Trigger DeleteTriggerStep
  printf -- '-Dsqlite3Trigger%sStep(...)=0 ' Delete Insert Select Update
  echo -USQLITE_ENABLE_{FTS3,FTS3_PARENTHESIS,FTS5,RTREE,STAT4,DBSTAT_VTAB,JSON1,LOAD_EXTENSION,API_ARMOR} \
    -USQLITE_ENABLE_COLUMN_METADATA -USQLITE_SOUNDEX -USQLITE_USE_URI \
    -DSQLITE_OMIT_{LOAD_EXTENSION,JSON,DEPRECATED,SHARED_CACHE,AUTHORIZATION,PROGRESS_CALLBACK,TRACE} \
    -DSQLITE_OMIT_{DESERIALIZE,GET_TABLE,COMPLETE,INTROSPECTION_PRAGMAS,UTF16,INCRBLOB,DATETIME_FUNCS} \
    -DSQLITE_OMIT_{FOREIGN_KEY,XFER_OPT,AUTOMATIC_INDEX,COMPILEOPTION_DIAGS,AUTOVACUUM} \
    -DSQLITE_OMIT_{VIRTUALTABLE,ALTERTABLE,ANALYZE,EXPLAIN,UPSERT,LOOKASIDE,DECLTYPE,LOCALTIME,AUTORESET,AUTOINCREMENT} \
    -DSQLITE_OMIT_{COMPOUND_SELECT,REINDEX,TRIGGER,VIEW} \
    -DSQLITE_OMIT_{GENERATED_COLUMNS,CAST,HEX_INTEGER,BLOB_LITERAL,TCL_VARIABLE,INTEGRITY_CHECK,SCHEMA_PRAGMAS} \
    -DSQLITE_OMIT_{OR,LIKE,BETWEEN}_OPTIMIZATION \
    -DSQLITE_DEFAULT_MEMSTATUS=0 -DSQLITE_LIKE_DOESNT_MATCH_BLOBS -DSQLITE_UNTESTABLE
}

cross() { # cross TARGET [ARGUMENT]...: what cargo is to build
  local triple
  triple=$(field "$1" 2)
  shift
  RUSTC_BOOTSTRAP=1 RUSTC="$work/tools/rustc" PATH="$work/tools/venv/bin:$PATH" RUSTFLAGS="$(flags)" \
    LIBSQLITE3_FLAGS="$(sqlite)" TARGET_CFLAGS="$(c_flags)" \
    FAU3_LINK_TARGET="$triple" CARGO_TARGET_DIR="$work/cargo" \
    cargo zigbuild --locked --quiet --target "$triple" --config "target.$triple.linker='$top/openwrt/package/link-gcc'" \
    -Zbuild-std=std,panic_abort -Zbuild-std-features=optimize_for_size "$@"
}

keep() { # keep TARGET PROFILE PROGRAM NAME
  local to=$work/bin/$1
  mkdir -p "$to"
  cp "$work/cargo/$(field "$1" 2)/$2/$3" "$to/$4.new"
  python3 "$top/openwrt/package/strip.py" "$to/$4.new"
  mv "$to/$4.new" "$to/$4"
  printf '%-8s %-10s %9d bytes\n' "$1" "$4" "$(stat -c %s "$to/$4")"
}

# Where flash is small, storage on disk is a package of its own.
build() {
  local target=$1
  case $target in
    mips*)
      cross "$target" --profile router --bin fau3 --no-default-features --features net
      keep "$target" router fau3 fau3
      cross "$target" --profile router --bin fau3 --no-default-features --features net,disk
      keep "$target" router fau3 fau3-disk
      ;;
    *)
      cross "$target" --profile router --bin fau3 --no-default-features --features net,disk
      keep "$target" router fau3 fau3
      ;;
  esac
  if [ -n "$sim" ]; then
    # With the routers' profile, so that the standard library is built once.
    cross "$target" --profile router -p fau3-sim
    keep "$target" router fau3-sim fau3-sim
  fi
}

if [ -n "$only_flags" ]; then
  sqlite
  exit
fi
bring_tools
cd "$top"
for target in "${targets[@]}"; do
  build "$target"
  [ -z "$packages" ] || "$work/tools/venv/bin/python" openwrt/package/pack.py --target "$target" --from "$work/bin/$target" --to "$work/packages"
done
