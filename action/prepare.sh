#!/usr/bin/env bash
# Checks the Python that the guard will run on, and decides where this step's files go.
#
# Each use of the action gets a new directory: what an earlier agent of the same job could reach is never run again.
#
# Reads CIGUARD_PYTHON, CIGUARD_NAMES, CIGUARD_ARTIFACT_NAME and the runner's variables. Writes outputs:
#   home           new directory for the environment (venv), the record (session) and finish.sh
#   packages       directory of the downloaded packages
#   packages-key   cache key for that directory: platform, Python and the lock's digest
#   artifact-name  name under which the session is uploaded
set -euo pipefail
source "${BASH_SOURCE[0]%/*}/fail.sh"

# Python takes no modules from the workspace, which may hold a pull request's files: neither by itself (-I) nor because
# the job has a PYTHONPATH (pip starts Python anew, without -I).
unset "${!PYTHON@}"
lock=$GITHUB_ACTION_PATH/requirements/run.txt
[[ $CIGUARD_NAMES != true ]] || lock=${lock%/*}/names.txt
if ! about=$("$CIGUARD_PYTHON" -I - "$lock" <<'PYTHON'
import hashlib, pathlib, sys, sysconfig
if sys.version_info < (3, 11):
    sys.exit(1)
print(sysconfig.get_config_var("SOABI"), hashlib.sha256(pathlib.Path(sys.argv[1]).read_bytes()).hexdigest())
PYTHON
); then
    fail "$CIGUARD_PYTHON is not Python 3.11 or later" "Put actions/setup-python before this step, or set the input 'python'"
fi
if ! "$CIGUARD_PYTHON" -I -m pip --version >/dev/null; then
    fail "$CIGUARD_PYTHON has no pip" "Put actions/setup-python before this step, or install the system's pip package"
fi
if [[ ! $CIGUARD_ARTIFACT_NAME =~ ^[A-Za-z0-9._-]*$ ]]; then
    fail "The input 'artifact-name' has characters other than letters, digits, '.', '_' and '-'" "Change it"
fi

home=$(mktemp -d "$RUNNER_TEMP/ciguard-XXXXXXXX")
# What runs after the agent is kept where the agent cannot change it: the action itself may lie in the workspace.
cp "$GITHUB_ACTION_PATH/action/finish.sh" "$home"
{
    echo "home=$home"
    echo "packages=$RUNNER_TEMP/ciguard-packages"
    echo "packages-key=ciguard-$RUNNER_OS-$RUNNER_ARCH-${about// /-}"
    echo "artifact-name=${CIGUARD_ARTIFACT_NAME:-ciguard-session-$GITHUB_JOB-${home##*-}}"
} >>"$GITHUB_OUTPUT"
