#!/usr/bin/env bash
# Installs the guard from the fetched sources, by the lock's hashes, as the action does.
#
# Reads CIGUARD_PYTHON and CIGUARD_HOME, which has the sources.
set -euo pipefail
source "${BASH_SOURCE[0]%/*}/../action/fail.sh"
unset "${!PYTHON@}"

"$CIGUARD_PYTHON" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$CIGUARD_PYTHON is not Python 3.11 or later" "Use an image that has it, or set the input 'python'"
"$CIGUARD_PYTHON" -I -m pip --version >/dev/null ||
    fail "$CIGUARD_PYTHON has no pip" "Use an image that has it, or install the system's pip package before"
GITHUB_ACTION_PATH=$CIGUARD_HOME/source CIGUARD_PACKAGES=$CIGUARD_HOME/packages-checked \
    exec bash "$CIGUARD_HOME/source/action/install.sh"
