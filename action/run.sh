#!/usr/bin/env bash
# Runs the script of the input 'run' behind the guard; the step's exit status is the guard's.
#
# The guard replaces this shell, so that it gets the runner's signals when the job is cancelled.
#
# Reads CIGUARD_HOME (see prepare.sh) and the inputs CIGUARD_RUN, CIGUARD_POLICY, CIGUARD_WORKING_DIRECTORY,
# CIGUARD_BASE_REF and CIGUARD_APPROVED.
set -euo pipefail

options=(--policy "$CIGUARD_POLICY" --session-dir "$CIGUARD_HOME/session")
if [[ -n $CIGUARD_BASE_REF ]]; then
    options+=(--base-ref "$CIGUARD_BASE_REF")
fi
if [[ -n $CIGUARD_APPROVED ]]; then
    options+=(--approved "$CIGUARD_APPROVED")
fi
command=(bash -eo pipefail -c "$CIGUARD_RUN")
if [[ $CIGUARD_WORKING_DIRECTORY != . ]]; then
    command=(env --chdir "$CIGUARD_WORKING_DIRECTORY" -- "${command[@]}")
fi
exec "$CIGUARD_HOME/venv/bin/python" -I -m ciguard run "${options[@]}" -- "${command[@]}" </dev/null
