#!/bin/bash
# Tries this clone on a system that has nothing of what cairn needs: a minimal Debian made with
# debootstrap, in a directory of its own. The last check before a release (docs/building.md).
#
#   tools/fresh_system_test.sh [--suite bookworm] [--directory DIR] [--keep] [-- COMMAND...]
#
# Clones the current commit into DIR/srv/cairn and runs, printing each one's time: ./run --version
# twice, ./run, ./test; or only COMMAND. Needs root and the package debootstrap. Packages come from
# where this system's apt gets them. Everything is mounted in a private namespace, so nothing stays
# mounted, whatever happens; DIR is removed at the end, with --keep it is kept and used again.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
suite=bookworm directory=/tmp/cairn-fresh-system keep=0
while [[ $# -gt 0 ]]; do
  case $1 in
    --suite) suite=$2; shift 2 ;;
    --directory) directory=$2; shift 2 ;;
    --keep) keep=1; shift ;;
    --) shift; break ;;
    *) sed -n '2,/^set/{/^#/p}' "$0" >&2; exit 2 ;;
  esac
done
commands=("./run --version" "./run --version" "./run" "./test")
[[ $# -eq 0 ]] || commands=("$*")

[[ $(id -u) == 0 ]] || { echo "fresh system: needs root (chroot, mount)" >&2; exit 1; }
command -v debootstrap > /dev/null || { echo "fresh system: needs debootstrap" >&2; exit 1; }
[[ $keep == 1 ]] || trap 'rm -rf "$directory"' EXIT

# This system's apt decides: the mirror of the suite, the proxy, the dates of a snapshot mirror.
mirror=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' | sed -n "s/^$suite //p" | head -1)
settings=$(apt-config dump | grep -E '^Acquire::(https?|ftp|Check)[^ ]* "[^"]+";' || true)

# debootstrap removes its own folder when it is done.
if [[ ! -e $directory/etc/debian_version || -e $directory/debootstrap ]]; then
  rm -rf "$directory"
  echo "fresh system: debootstrap $suite into $directory"
  mkdir -p "$directory"
  # debootstrap's own default mirror serves when this system has no other.
  debootstrap --variant=minbase "$suite" "$directory" $mirror > "$directory.log" 2>&1 || {
    tail -20 "$directory.log"
    exit 1
  }
fi
printf '%s\n' "$settings" > "$directory/etc/apt/apt.conf.d/90host"
cp /etc/resolv.conf /etc/hosts "$directory/etc/"
rm -rf "$directory/srv/cairn"
git clone --quiet "$root" "$directory/srv/cairn"
data=${CAIRN_TEST_DATA:-$root/../shared/data}
mkdir -p "$directory/srv/shared/data"

inside() {
  unshare --mount bash -c '
    set -e
    directory=$1 data=$2 command=$3
    mount -t proc proc "$directory/proc"
    mount --rbind /dev "$directory/dev"
    [[ ! -d $data ]] || mount --bind -o ro "$data" "$directory/srv/shared/data"
    exec env -i HOME=/root TERM=dumb PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
      chroot "$directory" bash -c "cd /srv/cairn && $command"
  ' bash "$directory" "$data" "$1" < /dev/null
}

for command in "${commands[@]}"; do
  echo "fresh system: $command"
  start=$(date +%s.%N)
  inside "$command"
  echo "fresh system: '$command' took $(date +%s.%N | awk -v s="$start" '{printf "%.1f", $1 - s}') s"
done
