#!/usr/bin/env bash
# Seals the session where the guard could not: when it was killed, or the job was cancelled too fast for it. Then makes
# the report of it.
set -euo pipefail

home=$CI_PROJECT_DIR.tmp/ciguard-$CI_JOB_ID
if [[ -e $CI_PROJECT_DIR/ciguard-session ]]; then
    "$home/venv/bin/python" -I -m ciguard finish "$CI_PROJECT_DIR/ciguard-session"
    exec "$home/venv/bin/python" -I -m ciguard session report "$CI_PROJECT_DIR/ciguard-session" -o "$CI_PROJECT_DIR/ciguard-report.html"
fi
