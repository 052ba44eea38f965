#!/usr/bin/env bash
# Runs the input 'script' behind the guard; the job's exit status is the guard's.
#
# $1: the definition of the function ciguard_script, which has the script's commands.
set -euo pipefail
source "${BASH_SOURCE[0]%/*}/../action/fail.sh"

# The runner prints each line before it runs it: without commands, only the colon and the brace are there and printed.
if ! grep -Evq '^(ciguard_script \(\) *|[{}] *|    :;?|    echo .*\$ [:}].*|)$' <<<"$1"; then
    fail "The input 'script' has no commands" "Give the component's script the commands that run the agent"
fi
exec bash "${BASH_SOURCE[0]%/*}/run.sh" bash -eo pipefail -c "$1"$'\n'"ciguard_script"
