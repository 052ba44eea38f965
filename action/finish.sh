#!/usr/bin/env bash
# Seals the session where the guard could not: when it was killed, or the job was cancelled too fast for it.
#
# Reads CIGUARD_HOME (see prepare.sh).
set -euo pipefail

if [[ -e $CIGUARD_HOME/session ]]; then
    exec "$CIGUARD_HOME/venv/bin/python" -I -m ciguard finish "$CIGUARD_HOME/session"
fi
