from __future__ import annotations

import pytest

from ciguard.inspect.shell.analysis import analyse
from ciguard.inspect.shell.kubernetes import UNKNOWN, of_request, plural, read


@pytest.mark.parametrize(
    ("line", "verbs", "resources", "namespace", "context"),
    [
        ("kubectl get po", {"get"}, {"pods"}, UNKNOWN, UNKNOWN),
        ("kubectl -n shop delete deploy/web svc/web", {"delete"}, {"deployments", "services"}, "shop", UNKNOWN),
        ("kubectl delete ns,pv x", {"delete"}, {"namespaces", "persistentvolumes"}, UNKNOWN, UNKNOWN),
        ("kubectl --context=prod delete pods --all", {"delete", "delete-all"}, {"pods"}, UNKNOWN, "prod"),
        ("kubectl delete pods --all=false", {"delete"}, {"pods"}, UNKNOWN, UNKNOWN),
        ("kubectl delete pods -A -l app=x", {"delete", "delete-all"}, {"pods"}, "*", UNKNOWN),
        ("kubectl delete -f x.yaml", {"delete"}, {UNKNOWN}, UNKNOWN, UNKNOWN),
        ("kubectl delete $KIND x -n $NS", {"delete"}, {UNKNOWN}, UNKNOWN, UNKNOWN),
        ("kubectl $VERB pods", {UNKNOWN}, {"pods"}, UNKNOWN, UNKNOWN),
        ("kubectl drain node-1", {"drain"}, {"nodes"}, UNKNOWN, UNKNOWN),
        ("kubectl scale --replicas=0 deploy/web", {"scale", "scale-to-zero"}, {"deployments"}, UNKNOWN, UNKNOWN),
        ("kubectl scale --replicas 3 deploy/web", {"scale"}, {"deployments"}, UNKNOWN, UNKNOWN),
        ("kubectl rollout restart deploy web", {"rollout", "rollout-restart"}, {"deployments"}, UNKNOWN, UNKNOWN),
        ("kubectl exec -n x pod -- rm x", {"exec"}, {"pods"}, "x", UNKNOWN),
        ("helm -n x uninstall web --kube-context p", {"uninstall", "delete"}, {"releases"}, "x", "p"),
        ("oc delete project shop", {"delete"}, {"namespaces"}, UNKNOWN, UNKNOWN),
    ],
)
def test_what_is_asked(line: str, verbs: set[str], resources: set[str], namespace: str, context: str) -> None:
    use = read(analyse(line).commands[0])
    assert use is not None
    assert (set(use.verbs), set(use.resources), use.namespace, use.context) == (verbs, resources, namespace, context)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pod", "pods"),
        ("Ingress", "ingresses"),
        ("networkpolicy", "networkpolicies"),
        ("deployments.apps", "deployments"),
    ],
)
def test_plurals(name: str, expected: str) -> None:
    assert plural(name) == expected


def test_a_request_that_crosses_the_guard() -> None:
    use = of_request("delete", "pods", "")
    assert (set(use.verbs), set(use.resources), use.namespace) == ({"delete"}, {"pods"}, UNKNOWN)


def test_other_programs() -> None:
    assert read(analyse("docker rm x").commands[0]) is None
