#!/usr/bin/env bash
# Seals the session where the guard could not: when it was killed, or the job was cancelled too fast for it. Then makes
# what GitLab shows of it: the report, the unit test report, and the links on the job's page. All of it is made beside
# the checkout, where the agent could not write, and then takes the place of whatever has its name in the checkout.
set -euo pipefail

home=$CI_PROJECT_DIR.tmp/ciguard-$CI_JOB_ID
[[ -e $home/session ]] || exit 0
cd "$home"
ciguard=("$home/venv/bin/python" -I -m ciguard)
status=0
"${ciguard[@]}" finish session || status=$?
"${ciguard[@]}" session report session -o report.html || status=$?
"${ciguard[@]}" session export --format junit session >junit.xml || status=$?
"${ciguard[@]}" session export --format gitlab-annotations session >annotations.json || status=$?
for name in session report.html junit.xml annotations.json; do
    rm -rf "$CI_PROJECT_DIR/ciguard-$name"
    [[ ! -e $name ]] || mv "$name" "$CI_PROJECT_DIR/ciguard-$name"
done
exit "$status"
