#!/bin/bash
# Packs the release build as build/cairn-VERSION-linux-x86_64.tar.xz and prints its size. It holds
# bin/, lib/, include/ and share/, stripped, and runs from wherever it is unpacked on a Linux whose
# glibc is not older than this system's. Libraries that such a system may lack (all but glibc's and
# GCC's own) are beside ours in lib/; docs/adr/0009-dependencies.md says why they are not inside it.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
limit=55000000  # bytes of program and library, LLVM inside, stripped
"$root/tools/install_dependencies.sh" build
python3 "$root/tools/build.py" release apps/cairn/all cairn

version=$(sed -n 's/^CMAKE_PROJECT_VERSION:STATIC=//p' "$root/build/release/CMakeCache.txt")
name=cairn-$version-linux-x86_64
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
prefix=$directory/$name
cmake --install "$root/build/release" --prefix "$prefix" --strip > "$directory/log" ||
  { cat "$directory/log"; exit 1; }

# What the program of this package is linked with, here, by the dynamic linker's own account.
needed() { ldd "$prefix/bin/cairn" | sed -n 's/^\t\(.*\) => \(.*\) (0x.*/\1 \2/p' | sort -u; }
while read -r soname path; do
  case $soname in
    libc.so.*|libm.so.*|libdl.so.*|librt.so.*|libpthread.so.*|libstdc++.so.*|libgcc_s.so.*|ld-linux*) ;;
    *) [[ $path == "$prefix/"* ]] || install -m 644 -T "$(realpath "$path")" "$prefix/lib/$soname" ;;
  esac
done < <(needed)
find "$prefix/lib" -name '*.so*' -type f -exec strip --strip-unneeded {} +

# All of them must now come from the package, and the program must run.
while read -r soname path; do
  case $path in
    "$prefix"/*) ;;
    *) [[ $soname =~ ^(lib(c|m|dl|rt|pthread|stdc\+\+|gcc_s)\.so|ld-linux) ]] ||
         { echo "package: $soname is taken from $path, not from the package" >&2; exit 1; } ;;
  esac
done < <(env -u LD_LIBRARY_PATH bash -c "$(declare -f needed); prefix='$prefix'; needed")
env -i "$prefix/bin/cairn" --version

sum() { find "$@" -type f \( -perm -100 -o -name '*.so*' \) -printf '%s\n' | awk '{sum += $1} END {print sum}'; }
bytes=$(sum "$prefix/bin" "$prefix"/lib/libcairn.so*)
all=$(sum "$prefix/bin" "$prefix/lib")
tarball=$root/build/$name.tar.xz
tar -C "$directory" --sort=name --owner=0 --group=0 --numeric-owner -cJf "$tarball" "$name"
echo "package: program and library $bytes bytes stripped, $all with what they are linked with, tarball $(stat -c %s "$tarball") bytes: $tarball"
[[ $bytes -le $limit ]] || { echo "package: more than $limit bytes" >&2; exit 1; }
