"""A GitHub with one repository, served over HTTP on loopback: what approvals need of it, and its bad days.

    with GitHubForge() as forge:
        forge.add_user("bob", role="maintain")
        forge.open_pull_request(7, author="alice", head="c" * 40)
        ...  # point ciguard at forge.url with forge.token
        forge.comment(7, "bob", "/ciguard approve ...")

It keeps state: comments with their edits and reactions, people with roles and teams, pull requests that move on. It
plays pages, ETags, primary and secondary rate limits, errors, slow and broken answers and a clock that is off. It is
strict: what it does not know is an error and stands in ``surprises``.

Left out: everything else of GitHub; previews and other media types than JSON; review comments and reviews; GraphQL
but for ``nodes`` of issue comments; rate limits by points; what the public documentation does not say.
"""

from ciguard.testing.github_forge.server import GitHubForge as GitHubForge
