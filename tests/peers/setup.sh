#!/usr/bin/env bash
# Installs the other programs that take part in the tests: Debian packages, and a Python environment below target/.
# Says what it installs, and does nothing, quickly, when all is there.
# setup.sh GROUP… installs what these need as well: `probes`, other proxies to compare with.
set -euo pipefail
cd "$(dirname "$0")/../.."

venv=target/peers/venv
requirements=tests/peers/requirements.txt
installed=$venv/installed-requirements.txt
# Debian's own Python: one that a version manager put first on the PATH may be anything.
python=/usr/bin/python3

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# Administration tools live where ordinary users do not look.
PATH=$PATH:/usr/sbin:/sbin

missing=()
needs() { # needs PACKAGE COMMAND…: every command comes with that package
    local package=$1 command
    shift
    for command in "$@"; do
        if ! command -v "$command" >/dev/null; then
            missing+=("$package")
            return
        fi
    done
}

needs gcc cc                        # links the build; aws-lc is C
needs ca-certificates update-ca-certificates
needs curl curl
needs openssl openssl
needs pebble pebble
needs bind9 named                    # a service too, which begins to run as soon as it is installed
needs bind9-utils tsig-keygen
needs bind9-dnsutils dig nsupdate
needs iproute2 ip
needs util-linux unshare setpriv
needs mount mount
needs procps kill ps
needs groff-base groff                # renders the manual page
needs systemd systemd-analyze systemd-sysusers
[[ -e /usr/include/stdlib.h ]] || missing+=(libc6-dev)

for group in "$@"; do
    case $group in
        probes) # In Debian they are services too, which begin to run as soon as they are installed.
            needs nginx-light nginx
            needs haproxy haproxy
            needs caddy caddy
            ;;
        fuzz) needs g++ g++ ;; # compiles libFuzzer
        *) die "unknown group: $group; known: probes fuzz" ;;
    esac
done

renew_python=no
if ! cmp -s "$requirements" "$installed" || ! "$venv/bin/python" -c '' 2>/dev/null; then
    renew_python=yes
    # Debian splits off what a new environment is made of.
    "$python" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
fi

if ((${#missing[@]})); then
    command -v apt-get >/dev/null || die "these Debian packages are missing, and there is no apt-get: ${missing[*]}"
    say "installing Debian packages: ${missing[*]}"
    as_root=()
    if [[ $(id -u) != 0 ]]; then
        if command -v sudo >/dev/null && sudo -v; then
            as_root=(sudo)
        else
            die "root is needed once; please run: apt-get update && apt-get install --no-install-recommends ${missing[*]}"
        fi
    fi
    "${as_root[@]}" apt-get update -q
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends "${missing[@]}" </dev/null
fi

if [[ $renew_python == yes ]]; then
    say "installing the Python peers (Synapse, sslyze) into $venv"
    rm -rf "$venv"
    "$python" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --prefer-binary -r "$requirements"
    # Written last: an installation that was cut short is done again.
    cp "$requirements" "$installed"
fi

command -v cargo >/dev/null || die "cargo is missing: install Rust $(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml) or newer"
say "all peers are there"
