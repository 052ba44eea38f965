#!/usr/bin/env bash
# Runs the input 'script' behind the guard; the job's exit status is the guard's.
#
# $1: the definition of the function ciguard_script, which has the script's commands.
set -euo pipefail
source "${BASH_SOURCE[0]%/*}/../action/fail.sh"

# The runner prints each line before it runs it, in words of its own: those that come before the colon, which is first.
# Without commands there is nothing but the colon and what is printed.
printed=$(sed -n 3p <<<"$1")
printed=${printed%%:*}
commands=$(tail -n +3 <<<"$1" | sed '$d' | grep -Ev '^    :;?$') || true
if [[ $printed == *echo* ]]; then
    commands=$(grep -Fv -- "$printed" <<<"$commands") || true
fi
if [[ -z $commands ]]; then
    fail "The input 'script' has no commands" "Give the component's script the commands that run the agent"
fi
exec bash "${BASH_SOURCE[0]%/*}/run.sh" bash -eo pipefail -c "$1"$'\n'"ciguard_script"
