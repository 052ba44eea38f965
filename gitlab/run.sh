#!/usr/bin/env bash
# Runs the input 'script' behind the guard; the job's exit status is the guard's.
#
# $1: the definition of the function ciguard_script, which has the script's commands. Reads CIGUARD_HOME and the inputs
# CIGUARD_POLICY, CIGUARD_WORKING_DIRECTORY and CIGUARD_BASE_REF.
set -euo pipefail
source "${BASH_SOURCE[0]%/*}/../action/fail.sh"

# The runner prints each line before it runs it: without commands, only the colon and the brace are there and printed.
if ! grep -Evq '^(ciguard_script \(\) *|[{}] *|    :;?|    echo .*\$ [:}].*|)$' <<<"$1"; then
    fail "The input 'script' has no commands" "Give the component's script the commands that run the agent"
fi
# The record is kept where the agent cannot write, which is outside of the workspace; finish.sh puts it into the artifact.
options=(--policy "$CIGUARD_POLICY" --session-dir "$CIGUARD_HOME/session" --refusal-file "$CI_PROJECT_DIR/ciguard-refusal.txt")
if [[ -n $CIGUARD_BASE_REF ]]; then
    options+=(--base-ref "$CIGUARD_BASE_REF")
fi
command=(bash -eo pipefail -c "$1"$'\n'"ciguard_script")
if [[ $CIGUARD_WORKING_DIRECTORY != . ]]; then
    command=(env --chdir "$CIGUARD_WORKING_DIRECTORY" -- "${command[@]}")
fi
exec "$CIGUARD_HOME/venv/bin/python" -I -m ciguard run "${options[@]}" -- "${command[@]}" </dev/null
