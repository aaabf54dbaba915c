#!/bin/sh
# One command from a fresh checkout to all tests passed: installs what npm has
# to bring and, with Debian's packages, the real servers and clients that the
# integration tests talk to; then `npm test`.
set -eu

cd "$(dirname "$0")/.."

say() { printf '%s\n' "test: $*"; }
fail() { printf '%s\n' "test: $*" >&2; exit 1; }

usage() {
  cat <<TEXT
Usage: scripts/test.sh [--no-install] [VITEST ARGUMENT]...

Sets up and runs everything: lint, type check, build, unit tests, and integration
tests against Prosody, ejabberd and jabberd2 with real clients. Packages of the
system that are missing are installed first, by scripts/install-servers.sh.

  --no-install   leave the system as it is: tests of servers that are missing are
                 skipped, or fail where INTERSTANZA_REQUIRE_SERVERS is set
  --help         this text
TEXT
}

install=yes
case "${1:-}" in
  --no-install) install=no; shift ;;
  --help | -h) usage; exit 0 ;;
esac

command -v node >/dev/null 2>&1 || fail 'Node.js is missing: install version 20 or later (https://nodejs.org) and start this again.'
major=$(node -p 'process.versions.node.split(".")[0]')
[ "$major" -ge 20 ] || fail "Node.js is version $major here, and 20 or later is needed."

if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  say 'installing what the project needs (npm ci)'
  npm ci --no-audit --no-fund
fi
if [ "$install" = yes ] && ! scripts/install-servers.sh --check; then
  say 'installing the servers that the integration tests need'
  scripts/install-servers.sh ||
    { [ -z "${INTERSTANZA_REQUIRE_SERVERS:-}" ] || exit 1; say 'that failed: tests of what is missing are skipped'; }
fi

exec npm test -- "$@"
