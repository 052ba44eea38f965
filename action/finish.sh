#!/usr/bin/env bash
# Seals the session where the guard could not: when it was killed, or the job was cancelled too fast for it. Then makes
# the report of it, beside the session: what is in the session directory is sealed, and nothing is added to it.
#
# Reads CIGUARD_HOME (see prepare.sh). Writes output:
#   manifest       path of manifest.json, once there is one
set -euo pipefail

if [[ -e $CIGUARD_HOME/session ]]; then
    "$CIGUARD_HOME/venv/bin/python" -I -m ciguard finish "$CIGUARD_HOME/session"
    echo "manifest=$CIGUARD_HOME/session/manifest.json" >>"$GITHUB_OUTPUT"
    exec "$CIGUARD_HOME/venv/bin/python" -I -m ciguard session report "$CIGUARD_HOME/session" -o "$CIGUARD_HOME/report.html"
fi
