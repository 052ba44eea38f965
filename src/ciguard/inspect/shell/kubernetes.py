"""What a kubectl, oc or helm command asks of a cluster. From ``kubectl options`` and Helm's manual."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ciguard.inspect.shell.command import Command, Word

UNKNOWN = "unknown"
"""A resource, namespace or context that the command does not tell."""


@dataclass(frozen=True, slots=True)
class ClusterUse:
    """A request to a cluster. ``verbs`` are the command's own, and what it amounts to: ``delete-all``."""

    verbs: frozenset[str]
    resources: frozenset[str]
    namespace: str = UNKNOWN
    context: str = UNKNOWN


_VALUES = frozenset(
    {"-n", "--namespace", "--context", "--cluster", "--user", "--kubeconfig", "-s", "--server", "--token", "--as"}
    | {"-l", "--selector", "--field-selector", "-f", "--filename", "-o", "--output", "-k", "--kustomize", "-c"}
    | {
        "--container",
        "--replicas",
        "--type",
        "-p",
        "--patch",
        "--grace-period",
        "--timeout",
        "--kube-context",
        "--image",
    }
    | {
        "--request-timeout",
        "-v",
        "--cache-dir",
        "--as-group",
        "--certificate-authority",
        "--set",
        "--values",
        "--version",
    }
)
_SHORT = {
    "po": "pods",
    "ns": "namespaces",
    "no": "nodes",
    "svc": "services",
    "deploy": "deployments",
    "rs": "replicasets",
    "sts": "statefulsets",
    "ds": "daemonsets",
    "cm": "configmaps",
    "ing": "ingresses",
    "cj": "cronjobs",
    "pv": "persistentvolumes",
    "pvc": "persistentvolumeclaims",
    "sa": "serviceaccounts",
    "ep": "endpoints",
    "crd": "customresourcedefinitions",
    "crds": "customresourcedefinitions",
    "hpa": "horizontalpodautoscalers",
    "ev": "events",
    "netpol": "networkpolicies",
    "sc": "storageclasses",
    "pdb": "poddisruptionbudgets",
    "project": "namespaces",
    "projects": "namespaces",
    "quota": "resourcequotas",
    "ingress": "ingresses",
}


def read(command: Command) -> ClusterUse | None:
    """What ``command`` asks; None when it is none of these programs."""
    match command.program:
        case "kubectl" | "oc" | "k" | "kubectl.exe" | "microk8s.kubectl":
            return _kubectl(command)
        case "helm" | "helm3":
            return _helm(command)
        case _:
            return None


def of_request(verb: str, resource: str, namespace: str) -> ClusterUse:
    """A request that crosses the guard."""
    return ClusterUse(frozenset({verb}), frozenset({plural(resource)}), namespace or UNKNOWN)


def plural(resource: str) -> str:
    """The plural of a kind of resource, however it was written: ``ns``, ``Namespace``, ``namespaces.v1``."""
    name = resource.lower().partition(".")[0]
    if name in _SHORT:
        return _SHORT[name]
    if name.endswith("s") and not name.endswith("ss"):
        return name
    return f"{name[:-1]}ies" if name.endswith("y") else f"{name}es" if name.endswith("s") else f"{name}s"


def _kubectl(command: Command) -> ClusterUse:
    operands, options = _split(command.arguments)
    verb = operands[0].text if operands and operands[0].literal else UNKNOWN
    verbs = {verb}
    named = operands[1:]
    if verb == "rollout" and named:
        verbs.add(f"rollout-{named.pop(0).text}")
    resources = _resources(verb, named)
    everywhere = bool({"--all-namespaces", "-A"} & options.keys())
    if verb == "delete" and (everywhere or options.get("--all", "false") != "false"):
        verbs.add("delete-all")
    if verb == "scale" and options.get("--replicas") == "0":
        verbs.add("scale-to-zero")
    namespace = "*" if everywhere else options.get("-n", options.get("--namespace", UNKNOWN))
    return ClusterUse(frozenset(verbs), resources, namespace, options.get("--context", UNKNOWN))


def _helm(command: Command) -> ClusterUse:
    operands, options = _split(command.arguments)
    verb = operands[0].text if operands and operands[0].literal else UNKNOWN
    verbs = {verb, "delete"} if verb in ("uninstall", "delete", "del", "un") else {verb}
    namespace = options.get("-n", options.get("--namespace", UNKNOWN))
    return ClusterUse(frozenset(verbs), frozenset({"releases"}), namespace, options.get("--kube-context", UNKNOWN))


def _resources(verb: str, named: Sequence[Word]) -> frozenset[str]:
    if verb in ("drain", "cordon", "uncordon", "taint"):
        return frozenset({"nodes"})
    if verb in ("exec", "logs", "attach", "cp", "port-forward"):
        return frozenset({"pods"})
    if not named or not named[0].literal:
        return frozenset({UNKNOWN})
    slashed = [word.text.partition("/")[0] for word in named if "/" in word.text]
    kinds = slashed or named[0].text.split(",")
    return frozenset(plural(kind) for kind in kinds if kind)


def _split(arguments: Sequence[Word]) -> tuple[list[Word], dict[str, str]]:
    """Operands up to ``--``, and options with their values; an unknown value is UNKNOWN."""
    operands: list[Word] = []
    options: dict[str, str] = {}
    words = list(arguments)
    while words:
        word = words.pop(0)
        if word.text == "--":
            break
        if not word.text.startswith("-"):
            operands.append(word)
            continue
        name, equals, value = word.text.partition("=")
        if not equals and (attached := re.fullmatch(r"(-[nfl])(.+)", word.text)):
            name, value = attached[1], attached[2]
        elif not equals and name in _VALUES and words:
            following = words.pop(0)
            value = following.text if following.literal else UNKNOWN
        options[name] = value or "true"
    return operands, options
