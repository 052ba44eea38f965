# Sourced by the scripts of the action and of the component.

# Ends the step. $1: the cause, $2: what to do about it; one line each.
fail() {
    printf 'error: %s\nhelp: %s\n' "$1" "$2" >&2
    [[ ${GITLAB_CI:-} == true ]] || printf '::error title=ciguard::%s. %s\n' "${1//%/%25}" "${2//%/%25}"
    exit 1
}
