#!/bin/sh
# One command from a fresh checkout to the running demo: installs what npm has
# to bring, builds when the sources are newer, and starts `interstanza demo`.
# Prosody is installed by the demo itself when it is missing.
set -eu

cd "$(dirname "$0")/.."

say() { printf '%s\n' "demo: $*"; }
fail() { printf '%s\n' "demo: $*" >&2; exit 1; }

command -v node >/dev/null 2>&1 || fail 'Node.js is missing: install version 20 or later (https://nodejs.org) and start this again.'
major=$(node -p 'process.versions.node.split(".")[0]')
[ "$major" -ge 20 ] || fail "Node.js is version $major here, and 20 or later is needed."

# A lock file newer than what was installed from it means: install again.
if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  say 'installing what the program needs (npm ci)'
  npm ci --no-audit --no-fund
fi
if [ ! -e dist/main.js ] || [ -n "$(find src tsconfig.json tsconfig.build.json -newer dist/main.js -print -quit)" ]; then
  say 'building (npm run build)'
  npm run --silent build
  # The compiler leaves a file alone that has not changed; its date is what is looked at next time.
  touch dist/main.js
fi

exec node dist/main.js demo "$@"
