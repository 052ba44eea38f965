#!/usr/bin/env bash
# Runs a command behind the guard; the exit status is the guard's.
#
# $@: the command. Reads CIGUARD_HOME and the inputs CIGUARD_POLICY, CIGUARD_WORKING_DIRECTORY and CIGUARD_BASE_REF.
set -euo pipefail
source "${BASH_SOURCE[0]%/*}/../action/fail.sh"

if (($# == 0)); then
    fail "There is no command to run behind the guard" "Give ciguard_run the command that runs the agent"
fi
# The record is kept where the agent cannot write, which is outside of the workspace; finish.sh puts it into the artifact.
options=(--policy "$CIGUARD_POLICY" --session-dir "$CIGUARD_HOME/session" --refusal-file "$CI_PROJECT_DIR/ciguard-refusal.txt")
if [[ -n $CIGUARD_BASE_REF ]]; then
    options+=(--base-ref "$CIGUARD_BASE_REF")
fi
command=("$@")
if [[ $CIGUARD_WORKING_DIRECTORY != . ]]; then
    command=(env --chdir "$CIGUARD_WORKING_DIRECTORY" -- "${command[@]}")
fi
exec "$CIGUARD_HOME/venv/bin/python" -I -m ciguard run "${options[@]}" -- "${command[@]}" </dev/null
