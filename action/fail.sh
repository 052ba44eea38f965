# Sourced by the scripts of the action and of the component.

# Ends the step. $1: the cause, $2: what to do about it; one line each. On GitLab they stand in the artifact, too.
fail() {
    if [[ ${GITLAB_CI:-} == true ]]; then
        printf 'error: %s\nhelp: %s\n' "$1" "$2" | tee "$CI_PROJECT_DIR/ciguard-refusal.txt" >&2
    else
        printf 'error: %s\nhelp: %s\n' "$1" "$2" >&2
        printf '::error title=ciguard::%s. %s\n' "${1//%/%25}" "${2//%/%25}"
    fi
    exit 1
}
