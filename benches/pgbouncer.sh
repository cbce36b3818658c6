#!/usr/bin/env bash
# Builds a PgBouncer newer than Debian 12's and prints the program's path: benches/pgbouncer.sh
#
# The comparison is against 1.25. Its source is looked for in later suites of the Debian mirror that
# this machine uses already, through apt, with Debian's own signatures and lists apart from the
# system's. Where no suite has 1.25, the newest version whose source is really there is taken; the
# results name the version that ran. Everything goes to .cache/pgbouncer, which tells git to ignore it.
set -euo pipefail

cache=$(cd "$(dirname "$0")/.." && pwd)/.cache/pgbouncer
wanted=1.25
program=$cache/pgbouncer
if [ -x "$program" ]; then echo "$program"; exit 0; fi
if [ -e "$cache/.failed" ]; then echo "an earlier try failed; remove $cache to try again" >&2; exit 1; fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || [ "${PYWIRE_INSTALL:-1}" = 0 ]; then
    echo "cannot be built here: it takes apt, as root" >&2
    exit 1
fi
mkdir -p "$cache"/{etc,lists/partial,archives/partial,source}
echo '*' >"$cache/.gitignore"
trap 'touch "$cache/.failed"' ERR

mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    grep -v security | grep debian | head -1)
mirror=${mirror%/}
for suite in trixie forky sid; do
    printf 'Types: deb-src\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n\n' \
        "$mirror" "$suite" /usr/share/keyrings/debian-archive-keyring.gpg
done >"$cache/etc/later.sources"
apart=(-qq -o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$cache/etc"
    -o "Dir::State::Lists=$cache/lists" -o "Dir::Cache::Archives=$cache/archives"
    -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root)

{
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        dpkg-dev gcc make pkg-config libevent-dev libssl-dev
    apt-get "${apart[@]}" update
} >"$cache/build.log" 2>&1

versions=$(apt-cache "${apart[@]}" showsrc pgbouncer | sed -n 's/^Version: //p' | sort -rVu)
# The wanted one first, then from the newest down.
versions=$({ grep "^$wanted\." <<<"$versions" || true; echo "$versions"; } | awk '!seen[$0]++')
cd "$cache/source"
got=
for version in $versions; do
    if apt-get "${apart[@]}" source --download-only "pgbouncer=$version" >>"$cache/build.log" 2>&1; then
        got=$version
        break
    fi
    rm -f ./*
done
[ -n "$got" ]
dpkg-source -x ./*.dsc tree >>"$cache/build.log" 2>&1
cd tree
{ ./configure --without-cares --disable-debug && make -j2 pgbouncer; } >>"$cache/build.log" 2>&1
cp pgbouncer "$program"
rm -rf "$cache/source" "$cache/lists" "$cache/archives"
echo "$program"
