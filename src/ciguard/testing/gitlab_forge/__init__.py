"""A GitLab with one project, served over HTTP on loopback: what approvals need of it, and its bad days.

    with GitLabForge() as forge:
        forge.add_user("bob", level=40)
        forge.open_merge_request(7, author="alice", head="c" * 40)
        ...  # point ciguard at forge.api (as CI_API_V4_URL) with forge.token
        forge.comment(7, "bob", "ciguard approve ...")

It keeps state: notes with their edits, times that somebody set, system notes and reactions; people, the bots of access
tokens, project and group members, approval rules; merge requests that move on. It plays pages, rate limits, errors,
slow and broken answers. It is strict: what it does not know is an error and stands in ``surprises``, as does a note
that GitLab would have taken for commands.

Left out: everything else of GitLab; discussions (their notes are in the list like others), GraphQL but for
``note(id:)``, inheritance (a member is a member, wherever from), scopes other than reading and writing. The shapes of
answers follow GitLab's public API documentation, of which there is no complete machine-readable description.
"""

from ciguard.testing.gitlab_forge.server import GitLabForge as GitLabForge
