#!/usr/bin/env bash
# Installs the guard from the fetched sources, by the lock's hashes, as the action does. The guard of the component's own
# image (gitlab/Containerfile) is taken instead if it was made from the very same commit, and no other ever is.
#
# $1: where such an image has its guard. Reads CIGUARD_PYTHON, CIGUARD_NAMES, CIGUARD_COMMIT and CIGUARD_HOME, which has the
# sources.
set -euo pipefail
source "${BASH_SOURCE[0]%/*}/../action/fail.sh"
unset "${!PYTHON@}"

# No image has what names need.
if [[ $CIGUARD_NAMES != true && -e $1/commit ]]; then
    commit=$(<"$1/commit")
    if [[ $commit == "$CIGUARD_COMMIT" ]]; then
        ln -s "$1/venv" "$CIGUARD_HOME/venv"
        exit
    fi
    echo "the image's guard is of commit $commit, and the component's is installed: $CIGUARD_COMMIT" >&2
fi
"$CIGUARD_PYTHON" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$CIGUARD_PYTHON is not Python 3.11 or later" "Use an image that has it, or set the input 'python'"
"$CIGUARD_PYTHON" -I -m pip --version >/dev/null ||
    fail "$CIGUARD_PYTHON has no pip" "Use an image that has it, or install the system's pip package before"
GITHUB_ACTION_PATH=$CIGUARD_HOME/source CIGUARD_PACKAGES=$CIGUARD_HOME/packages-checked \
    exec bash "$CIGUARD_HOME/source/action/install.sh"
