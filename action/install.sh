#!/usr/bin/env bash
# Installs the guard from this checkout into an environment of its own.
#
# The packages may come from a cache, which anybody who can run a workflow of the repository may have written to:
# every one of them is checked against the lock's hashes, each time.
#
# Reads CIGUARD_PYTHON, CIGUARD_NAMES, CIGUARD_HOME and CIGUARD_PACKAGES (see prepare.sh) and GITHUB_ACTION_PATH.
set -euo pipefail
source "${BASH_SOURCE[0]%/*}/fail.sh"

# See prepare.sh.
unset "${!PYTHON@}"

lock=$GITHUB_ACTION_PATH/requirements/run.txt
[[ $CIGUARD_NAMES != true ]] || lock=${lock%/*}/names.txt
pip=("$CIGUARD_PYTHON" -I -m pip --disable-pip-version-check --no-input --quiet)

if [[ ! -d $CIGUARD_PACKAGES ]]; then
    "${pip[@]}" download --only-binary :all: --require-hashes --dest "$CIGUARD_HOME/packages" --requirement "$lock" ||
        fail "The guard's packages could not be downloaded" "Let the job reach a Python package index, or configure pip for one"
    mv "$CIGUARD_HOME/packages" "$CIGUARD_PACKAGES"
fi

"$CIGUARD_PYTHON" -I -m venv --without-pip "$CIGUARD_HOME/venv"
pip+=(--python "$CIGUARD_HOME/venv/bin/python" install --no-index --no-cache-dir)
"${pip[@]}" --find-links "$CIGUARD_PACKAGES" --only-binary :all: --require-hashes --requirement "$lock" ||
    fail "The guard's packages do not match its lock" "Delete the repository's caches whose names begin with 'ciguard-'"
"${pip[@]}" --no-deps --no-build-isolation "$GITHUB_ACTION_PATH"
"$CIGUARD_HOME/venv/bin/python" -I -m ciguard.inspect.compiled
