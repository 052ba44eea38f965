#!/usr/bin/env bash
# Installs one of the agents that the reusable workflow knows, in an exact version.
#
# Reads AGENT and VERSION.
set -euo pipefail
source "${BASH_SOURCE[0]%/*}/fail.sh"

case $AGENT in
claude-code) package=@anthropic-ai/claude-code ;;
codex) package=@openai/codex ;;
*) fail "There is no agent '$AGENT'" "Set the input 'agent' to claude-code, codex or none" ;;
esac
if [[ ! $VERSION =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]]; then
    fail "The agent's version '$VERSION' is not exact" "Set the input 'agent-version' to a version such as 2.1.197"
fi
npm install --global --loglevel=error "$package@$VERSION"
