#!/usr/bin/env bash
# Seals the session where the guard could not: when it was killed, or the job was cancelled too fast for it. Then makes
# what GitLab shows of it: the report, the unit test report, and the links on the job's page.
set -euo pipefail

home=$CI_PROJECT_DIR.tmp/ciguard-$CI_JOB_ID
session=$CI_PROJECT_DIR/ciguard-session
[[ -e $session ]] || exit 0
cd "$CI_PROJECT_DIR"
# The agent may have left links of these names, which lead to where this job may write and the agent may not.
rm -rf ciguard-report.html ciguard-junit.xml ciguard-annotations.json
ciguard=("$home/venv/bin/python" -I -m ciguard)
status=0
"${ciguard[@]}" finish "$session" || status=$?
"${ciguard[@]}" session report "$session" -o ciguard-report.html || status=$?
"${ciguard[@]}" session export --format junit "$session" >ciguard-junit.xml || status=$?
"${ciguard[@]}" session export --format gitlab-annotations "$session" >ciguard-annotations.json || status=$?
exit "$status"
