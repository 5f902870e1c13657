#!/usr/bin/env bash
# A stranger's way: unpack a bundle's archive where there is no network, ask six tools, one verdict.
#
#   reproduce/stranger.sh ARCHIVE.tar [BIN]     BIN: the tools' folder, .venv-outside/bin (make test-outside makes it)
#
# Exit 0: all six say that it holds. 1: one does not, and its last lines stand below its name. 2: it cannot be asked.
# Each tool runs with its own defaults in an empty folder, with an empty environment, in a network namespace that holds nothing but a
# loopback device which is down (`unshare --net`; no root needed where users may make namespaces). Some 30 s of one core.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if (($# < 1 || $# > 2)); then echo "usage: stranger.sh ARCHIVE.tar [BIN]" >&2; exit 2; fi
archive=$(realpath -e -- "$1" 2>/dev/null) || { echo "stranger.sh: $1: no such archive; make one: make archive BUNDLE=artifacts/quick" >&2; exit 2; }
bin=$(realpath -e -- "${2:-$here/../.venv-outside/bin}" 2>/dev/null) || { echo "stranger.sh: ${2:-.venv-outside/bin}: no such folder; make it: make test-outside" >&2; exit 2; }

if [ -z "${STRANGER_INSIDE:-}" ]; then
  for way in "unshare --net" "unshare --user --map-root-user --net"; do
    if $way true 2>/dev/null; then
      exec env -i STRANGER_INSIDE=1 PATH=/usr/local/bin:/usr/bin:/bin LC_ALL=C.UTF-8 $way "$BASH" "$0" "$archive" "$bin"
    fi
  done
  echo "stranger.sh: unshare --net: not permitted here; run it in a container without a network, with STRANGER_INSIDE=1" >&2
  exit 2
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME=$work TMPDIR=$work MPLCONFIGDIR=$work
unset STRANGER_INSIDE
if "$bin/python" -c 'import socket; socket.create_connection(("1.1.1.1", 53), 3)' 2>/dev/null; then
  echo "stranger.sh: there is a network; expected none" >&2; exit 2
fi
mkdir "$work/bundle"
tar -xf "$archive" -C "$work/bundle" --strip-components=1 --no-same-owner --no-same-permissions
cd "$work/bundle"
"$bin/python" "$here/rocrate_cache.py" "$work/cache"

checksums() {
  sha256sum -c --strict --quiet manifest-sha256.txt tagmanifest-sha256.txt && # `set -e` does not count inside an `if`
    diff <(find data ! -type d | LC_ALL=C sort) <(sed 's/^[0-9a-f]*  //' manifest-sha256.txt | LC_ALL=C sort)
}
statement() {
  "$bin/python" - data/provenance/statement.json <<'P'
import sys
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement

parsed = json_format.Parse(open(sys.argv[1]).read(), statement_pb2.Statement())
Statement.copy_from_pb(parsed).validate()
json_format.ParseDict(json_format.MessageToDict(parsed.predicate), provenance_pb2.Provenance())
P
}
declare -A ask=(
  [sha256sum]="checksums"
  [bagit.py]="$bin/bagit.py --validate ."
  [rocrate-validator]="$bin/rocrate-validator --no-interactive --disable-color validate --offline --cache-path $work/cache --profile-identifier process-run-crate-0.5 --requirement-severity recommended --no-paging data"
  [in-toto-attestation]="statement"
  [data/verify.py]="python3 -I data/verify.py"
  [ambiemo]="$bin/ambiemo verify ."
)
failed=()
for tool in sha256sum bagit.py rocrate-validator in-toto-attestation data/verify.py ambiemo; do
  before=$SECONDS
  if ${ask[$tool]} >"$work/said" 2>&1; then
    printf '✓ %-20s %3d s\n' "$tool" $((SECONDS - before))
  else
    failed+=("$tool")
    printf '✗ %-20s %3d s\n' "$tool" $((SECONDS - before))
    tail -n 6 "$work/said" | LC_ALL=C tr -d '\000-\010\013-\037\177' | sed 's/^/    /'
  fi
done
if ((${#failed[@]})); then echo "broken: ${failed[*]} (of six tools; $SECONDS s)"; exit 1; fi
echo "holds: six tools of six, without a network, in $SECONDS s"
