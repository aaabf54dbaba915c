#!/bin/sh
# Installs what the integration tests and the demo put Interstanza in front of:
# three real XMPP servers and a dozen real clients, programs and libraries (with
# what compiles a small program around one, and a browser), all from Debian's own
# packages.
# None of them is started as a system service: the tests run their own copies on
# loopback, in temporary folders.
set -eu

SERVERS='prosody ejabberd jabberd2 jabber-muc sqlite3'
CLIENTS='python3 python3-slixmpp python3-aioxmpp python3-nbxmpp python3-twisted
  libanyevent-xmpp-perl libnet-xmpp-perl ruby-xmpp4r sendxmpp go-sendxmpp mcabber profanity
  libstrophe-dev libloudmouth1-dev libgloox-dev libpurple-dev gcc g++ libc6-dev pkg-config chromium'
# shellcheck disable=SC2086 # lists of names; in one line, so that a name can be looked up in it
ALL=$(echo $SERVERS $CLIENTS)
POLICY=/usr/sbin/policy-rc.d
POLICY_MARK='interstanza: no services while test servers are installed'

usage() {
  cat <<TEXT
Usage: scripts/install-servers.sh [--only PACKAGE]... [--check]

Installs with apt-get what is missing of:
  $ALL

  --only PACKAGE  only this one (repeatable); --only prosody is enough for the demo
  --check         install nothing, say what is missing, exit 1 if anything is
  --help          this text

Needs Debian 12 (or a relative with the same packages), and root or sudo when
something has to be installed. Safe to run again: does nothing when all is there.
TEXT
}

say() { printf '%s\n' "install-servers: $*"; }
fail() { printf '%s\n' "install-servers: $*" >&2; exit 1; }

wanted=''
check_only=no
while [ $# -gt 0 ]; do
  case "$1" in
    --only)
      [ $# -ge 2 ] || fail '--only needs a package name'
      shift
      case " $ALL " in
        *" $1 "*) wanted="$wanted $1" ;;
        *) fail "unknown package '$1' (known: $ALL)" ;;
      esac
      ;;
    --check) check_only=yes ;;
    --help | -h) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done
[ -n "$wanted" ] || wanted=$ALL

command -v dpkg-query >/dev/null 2>&1 ||
  fail "this script knows Debian's packages only; install by hand:$(printf ' %s' $wanted)"

missing=''
for package in $wanted; do
  status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
  [ "$status" = 'install ok installed' ] || missing="$missing $package"
done
missing=${missing# }

if [ -z "$missing" ]; then
  say "nothing to do, installed:$(printf ' %s' $wanted)"
  exit 0
fi
if [ "$check_only" = yes ]; then
  say "missing: $missing"
  exit 1
fi

root=''
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null 2>&1 || fail "missing: $missing. Run this as root, or install sudo."
  root=sudo
fi

say "missing: $missing"
say 'installing with apt-get; their system services are kept from starting,'
say 'because the tests start their own copies on loopback only'

policy_is_ours=no
remove_policy() {
  if [ "$policy_is_ours" = yes ]; then
    $root rm -f "$POLICY"
    policy_is_ours=no
    say "removed $POLICY again"
  fi
}
trap remove_policy EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# A run that was killed may have left its own policy behind: take it over.
if [ -e "$POLICY" ] && ! grep -qF "$POLICY_MARK" "$POLICY"; then
  say "$POLICY exists and stays as it is"
else
  printf '#!/bin/sh\n# %s\nexit 101\n' "$POLICY_MARK" | $root tee "$POLICY" >/dev/null
  $root chmod 755 "$POLICY"
  policy_is_ours=yes
  say "put $POLICY in place (exit 101: start no service)"
fi

apt() { $root env DEBIAN_FRONTEND=noninteractive apt-get -q -o Dpkg::Use-Pty=0 "$@"; }

# The package list of a fresh machine or container is empty or old; one that
# already knows every package is good enough for a first try.
list_is_usable=yes
for package in $missing; do
  apt-cache show "$package" >/dev/null 2>&1 || list_is_usable=no
done
[ "$list_is_usable" = yes ] || { say 'fetching the package list'; apt update; }

# shellcheck disable=SC2086 # a list of names
if ! apt install -y --no-install-recommends $missing; then
  [ "$list_is_usable" = yes ] || fail 'apt-get failed, see above'
  say 'once more with a fresh package list'
  apt update
  # shellcheck disable=SC2086
  apt install -y --no-install-recommends $missing
fi

say "installed: $missing"
