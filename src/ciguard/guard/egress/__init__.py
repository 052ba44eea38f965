"""The HTTP proxy through which the agent reaches hosts that are no connection.

An attempt goes this way: :mod:`~ciguard.guard.egress.proxy` takes the call and checks the session's token,
:mod:`~ciguard.guard.egress.admission` decides where it may go and records it, and what then comes is either a TLS
tunnel whose first message names the same host (:mod:`~ciguard.guard.egress.tunnel`), or HTTP, request by request
(:mod:`~ciguard.guard.egress.requests`): plain, or within TLS that the guard ends itself.
"""
