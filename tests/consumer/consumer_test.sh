#!/bin/bash
# Installs a build into a temporary prefix and uses it from there: consumer_test.sh BUILD_DIRECTORY.
# The program must run after the prefix has been moved: it finds its library relative to itself.
set -euo pipefail
build=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT

cmake --install "$build" --prefix "$directory/first" > "$directory/install.log" ||
  { cat "$directory/install.log"; exit 1; }
mv "$directory/first" "$directory/prefix"

cmake -S "$here/project" -B "$directory/build" -G Ninja -DCMAKE_PREFIX_PATH="$directory/prefix"
cmake --build "$directory/build"
"$directory/build/consumer"

if [[ -e $build/bin/cairn ]]; then
  "$directory/prefix/bin/cairn" --version
  library=$(env -u LD_LIBRARY_PATH ldd "$directory/prefix/bin/cairn" | sed -n 's/.*libcairn.* => \(.*\) (.*/\1/p')
  [[ $(realpath "$library") == "$directory/prefix/"* ]] ||
    { echo "bin/cairn runs with $library, not with the installed library"; exit 1; }
fi
# A path of this build in what is installed would break on another machine.
if grep -rlF -e "$build" -e "$(dirname "$(dirname "$here")")/" "$directory/prefix"; then
  echo "these installed files name the build's own directories"
  exit 1
fi
