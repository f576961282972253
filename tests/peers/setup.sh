#!/usr/bin/env bash
# Installs the other programs that take part in the tests: Debian packages, a Python environment below target/, and there
# as well a newer Pebble than Debian stable has, taken from its next releases.
# Says what it installs, and does nothing, quickly, when all is there.
# setup.sh GROUP… installs what these need as well.
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
needs gnutls-bin gnutls-serv          # still has suites that Debian's OpenSSL was built without
needs pebble pebble
# In Debian these are services as well, which begin to run as soon as they are installed.
needs caddy caddy
needs nginx-light nginx
needs apache2 apache2
[[ -e /usr/lib/nginx/modules/ngx_stream_module.so ]] || missing+=(libnginx-mod-stream)
needs certbot certbot
needs haproxy haproxy
needs bind9 named                    # a service too, which begins to run as soon as it is installed
needs chromium chromium               # opens the status page; a few hundred megabytes with what it needs
needs bind9-utils tsig-keygen
needs bind9-dnsutils dig nsupdate
needs iproute2 ip
needs util-linux unshare setpriv
needs bsdutils script                # gives a program a terminal
needs mount mount
needs perl prove                    # reads what the check writes for test harnesses
needs procps kill ps
needs groff-base groff                # renders the manual page
needs systemd systemd-analyze systemd-sysusers
[[ -d /usr/share/fonts/truetype/liberation ]] || missing+=(fonts-liberation) # or Chromium has no letters
[[ -e /usr/include/stdlib.h ]] || missing+=(libc6-dev)

for group in "$@"; do
    case $group in
        probes) ;; # the proxies to compare with are among those above
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

# The Pebble of Debian stable knows no renewal information, no profiles and no `alreadyReplaced`. A newer one comes from
# the next releases on the machine's own Debian mirror, into a folder of its own: the system's apt learns nothing of it.
# What is there once stays. If the mirror has none, `missing` says why, and tests/support/pebble.rs prints that where a
# test would need it; without either file such a test fails.
newer=target/peers/pebble-next
newer_least=2.10
keyrings=(/usr/share/keyrings/debian-archive-keyring.{pgp,gpg})

# A mirror that has no newer one today may have it tomorrow, and asking takes seconds.
newer_is_settled() {
    [[ -x $newer/usr/bin/pebble && -s $newer/version ]] || [[ -n $(find "$newer/missing" -mmin -1440 2>/dev/null) ]]
}

no_newer() { # no_newer REASON: from now on this is what such tests print
    mkdir -p "$newer"
    printf '%s\n' "$*" >"$newer/missing"
}

debian_mirrors() { # as the machine's apt knows them, whatever its files look like
    local release
    release=$(. /etc/os-release && [[ ${ID:-} == debian ]] && printf '%s' "${VERSION_CODENAME:-sid}") || return 0
    apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
        sed -nE "s#^($release|stable|testing|unstable|sid) main (https?|file|mirror[^:]*)(:.*)\$#\2\3#p" | sort -u
}

private_apt() { # private_apt FOLDER COMMAND…: apt with nothing of the system's but its way to the network
    local folder=$1 command=$2 folders
    shift 2
    folders=(
        -o "Dir::Etc::sourcelist=$folder/sources.list" -o Dir::Etc::sourceparts=-
        -o "Dir::Etc::preferences=$folder/none" -o "Dir::Etc::preferencesparts=$folder/none.d" -o APT::Default-Release=
        -o "Dir::State::lists=$folder/lists" -o "Dir::State::status=$folder/status"
        -o "Dir::Cache::archives=$folder/archives"
        -o "Dir::Cache::pkgcache=$folder/packages.bin" -o "Dir::Cache::srcpkgcache=$folder/sources.bin"
        -o "APT::Sandbox::User=$(id -un)" -o APT::Update::Error-Mode=any
        -o Acquire::Retries=1 -o Acquire::http::Timeout=10 -o Acquire::https::Timeout=10 -o Acquire::Languages=none
        -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
        -o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false
    )
    "apt-$command" "${folders[@]}" -qq "$@"
}

fetch_newer() { # fetch_newer FOLDER: leaves $newer with either what is wanted or the reason why not
    local folder=$1 mirror candidate keyring="" version="" why="this machine's apt has no Debian mirror"
    for candidate in "${keyrings[@]}"; do
        [[ ! -r $candidate ]] || keyring="[signed-by=$candidate] "
    done
    mkdir -p "$folder"/{lists/partial,archives/partial,none.d}
    : >"$folder/status"
    while read -r mirror; do
        printf "deb $keyring%s %s main\n" "$mirror" testing "$mirror" unstable >"$folder/sources.list"
        if ! private_apt "$folder" get update 2>"$folder/errors"; then
            why="the next releases on $mirror cannot be read: $(head -n 1 "$folder/errors")"
            continue
        fi
        version=$(private_apt "$folder" cache policy pebble | sed -n 's/^ *Candidate: //p')
        if dpkg --compare-versions "${version:-0}" ge "$newer_least"; then
            break
        fi
        why="the next releases on $mirror have pebble ${version:-not at all}; $newer_least is needed"
        version=""
    done < <(debian_mirrors)
    if [[ -z $version ]]; then
        no_newer "$why"
        return
    fi
    (cd "$folder" && private_apt "$folder" get download "pebble=$version") || die "downloading pebble $version failed"
    rm -rf "$newer"
    mkdir -p "$newer"
    dpkg-deb -x "$folder"/pebble_*.deb "$newer"
    if ! "$newer/usr/bin/pebble" -version >/dev/null 2>"$folder/errors"; then
        rm -rf "$newer"
        no_newer "pebble $version does not run here: $(head -n 1 "$folder/errors")"
        return
    fi
    # Written last: an installation that was cut short is done again.
    printf '%s\n' "$version" >"$newer/version"
}

if ! newer_is_settled; then
    say "fetching a newer Pebble into $newer"
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    fetch_newer "$folder"
fi
if [[ -s $newer/version ]]; then
    say "the newer Pebble is $(<"$newer/version")"
else
    say "no newer Pebble; tests that need it print this instead: $(<"$newer/missing")"
fi

command -v cargo >/dev/null || die "cargo is missing: install Rust $(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml) or newer"
say "all peers are there"
