#!/bin/bash
# Installs the packages of tools/dependencies/apt.txt that are missing: install_dependencies.sh
# SECTION... (build, test, check, long; all but long when none is named). Takes a few milliseconds when
# nothing is missing: dpkg's database is the only thing asked. As root, or through sudo.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
list=$root/tools/dependencies/apt.txt
# Optional packages that this system turned out not to have, so that we do not look again each time.
unavailable=$root/build/.unavailable-packages

say() { echo "install: $*" >&2; }

sections=("$@")
[[ $# -gt 0 ]] || sections=(build test check)
wanted=() optional=" "
for section in "${sections[@]}"; do
  names=$(sed -n "/^\[$section\]\$/,/^\[/{/^[a-z]/p}" "$list")
  [[ -n $names ]] || { say "no section [$section] in $list"; exit 1; }
  for name in $names; do
    wanted+=("${name%\?}")
    [[ $name != *\? ]] || optional+="${name%\?} "
  done
done

if ! command -v apt-get > /dev/null || ! command -v dpkg-query > /dev/null; then
  say "this system has no apt-get, so its packages are installed by hand. Needed (Debian's names):"
  printf '    %s\n' "${wanted[@]}" >&2
  say "with a C++20 compiler (GCC 12 or newer, or Clang 19). Then build without this script:"
  say "    cmake --preset release && cmake --build --preset release && build/release/bin/cairn demo"
  exit 1
fi

installed=$(dpkg-query --show --showformat '${db:Status-Abbrev} ${Package}\n' "${wanted[@]}" \
            2> /dev/null | sed -n 's/^ii  *//p' || true)
missing=()
for name in "${wanted[@]}"; do
  if grep -qx -- "$name" <<< "$installed"; then continue; fi
  if [[ $optional == *" $name "* && -f $unavailable ]] && grep -qx -- "$name" "$unavailable"; then
    continue
  fi
  missing+=("$name")
done
[[ ${#missing[@]} -gt 0 ]] || exit 0

as_root=()
if [[ $(id -u) != 0 ]]; then
  if ! command -v sudo > /dev/null; then
    say "needed and missing: ${missing[*]}"
    say "there is no sudo here; as root: apt-get install --no-install-recommends ${missing[*]}"
    exit 1
  fi
  as_root=(sudo)
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get -q -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 "$@" > "$log" 2>&1
}

say "missing: ${missing[*]}"
say "apt-get update"
apt update || { cat "$log" >&2; say "apt-get update failed; going on with the lists that are here"; }
have=() absent=()
for name in "${missing[@]}"; do
  # A package that is only named by others has no candidate and shows nothing.
  if [[ -n $(apt-cache show --no-all-versions "$name" 2> /dev/null) ]]; then
    have+=("$name")
  elif [[ $optional == *" $name "* ]]; then
    say "$name: not in this distribution; the check that uses it will be skipped"
    mkdir -p "$root/build"
    echo "$name" >> "$unavailable"
  else
    absent+=("$name")
  fi
done
if [[ ${#absent[@]} -gt 0 ]]; then
  say "not in this distribution's package lists: ${absent[*]}"
  say "cairn is built on Debian 12 and 13 and Ubuntu 24.04 (universe enabled); is the network there?"
  exit 1
fi
[[ ${#have[@]} -gt 0 ]] || exit 0
say "apt-get install --no-install-recommends ${have[*]}"
apt install --yes --no-install-recommends "${have[@]}" || {
  cat "$log" >&2
  say "apt-get could not install them; its message is above"
  exit 1
}
say "done: $(grep -c '^Setting up' "$log") packages with what they need"
