"""The image of the billing service, and how it runs on Kubernetes.

kubectl renders the overlays as `kubectl apply --kustomize` would, and kubernetes-validate holds the
result against the schemas of Kubernetes. No cluster and no container engine takes part.
"""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import yaml
from stacks import REPOSITORY, SIZES

KUBERNETES = REPOSITORY / "infrastructure/kubernetes"

Manifests = list[dict]


def tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of the tools that are locked in localstack/locks."""
    program = shutil.which(name)
    assert program, f"{name} is not on the path: run the tests with `local-stack tool pytest`"
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


@cache
def rendered(size: str) -> str:
    """What Kubernetes would be sent."""
    ended = tool("kubectl", "kustomize", str(KUBERNETES / "overlays" / size))
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def manifests(size: str) -> Manifests:
    """The same, to be changed at will."""
    return copy.deepcopy(list(yaml.safe_load_all(rendered(size))))


def of_kind(all_: Manifests, kind: str) -> list[dict]:
    """Those of a kind."""
    return [each for each in all_ if each["kind"] == kind]


def deployment(all_: Manifests) -> dict:
    """The deployment."""
    (one,) = of_kind(all_, "Deployment")
    return one


def pod(all_: Manifests) -> dict:
    """Its pods."""
    return deployment(all_)["spec"]["template"]["spec"]


def container(all_: Manifests) -> dict:
    """Their only container."""
    (one,) = pod(all_)["containers"]
    return one


def is_valid(all_: Manifests, folder: Path) -> bool:
    """Whether Kubernetes would accept it, with no field that it does not know."""
    file = folder / "manifests.yaml"
    file.write_text(yaml.safe_dump_all(all_))
    return tool("kubernetes-validate", "--strict", "--quiet", str(file)).returncode == 0


def problems(all_: Manifests) -> list[str]:
    """What is wrong, although it is valid."""
    the_pod, the_container = pod(all_), container(all_)
    security = the_pod.get("securityContext", {}) | the_container.get("securityContext", {})
    port = the_container["ports"][0]["containerPort"]
    names = ("startupProbe", "livenessProbe", "readinessProbe")
    probes = [the_container.get(name, {}) for name in names]
    (service,) = of_kind(all_, "Service")
    (account,) = of_kind(all_, "ServiceAccount")
    (namespace,) = of_kind(all_, "Namespace")
    (budget,) = of_kind(all_, "PodDisruptionBudget")
    policies = {each["metadata"]["name"]: each["spec"] for each in of_kind(all_, "NetworkPolicy")}
    pause = the_container.get("lifecycle", {}).get("preStop", {}).get("sleep", {})
    labels = deployment(all_)["spec"]["template"]["metadata"]["labels"]
    true = {
        "an image by its digest": re.search(r"@sha256:[0-9a-f]{64}$", the_container["image"]),
        "no root": security.get("runAsNonRoot") is True and security.get("runAsUser") == 65532,
        "a read-only image": security.get("readOnlyRootFilesystem") is True,
        "no capabilities": security.get("capabilities") == {"drop": ["ALL"]},
        "no more privileges": security.get("allowPrivilegeEscalation") is False,
        "the usual system calls": security.get("seccompProfile") == {"type": "RuntimeDefault"},
        "no token": the_pod.get("automountServiceAccountToken") is False
        and account.get("automountServiceAccountToken") is False,
        "probes over gRPC": all(each.get("grpc", {}).get("port") == port for each in probes),
        "a pause before it stops": 0
        < pause.get("seconds", 0)
        < the_pod.get("terminationGracePeriodSeconds", 30) - 6,
        "HTTP/2": service["spec"]["ports"][0].get("appProtocol") == "kubernetes.io/h2c",
        "a service that leads to it": service["spec"]["selector"].items() <= labels.items()
        and service["spec"]["ports"][0]["targetPort"] == the_container["ports"][0]["name"],
        "it listens there": {"name": "BILLING_LISTEN", "value": f"0.0.0.0:{port}"}
        in the_container["env"],
        "secrets from a secret": all(
            "secretKeyRef" in each.get("valueFrom", {})
            for each in the_container["env"]
            if each["name"] in {"DATABASE_URL", "BILLING_TOKEN"}
        ),
        "the region of a database of RDS": {
            "name": "AWS_REGION",
            "valueFrom": {
                "secretKeyRef": {"name": "billing-service", "key": "region", "optional": True}
            },
        }
        in the_container["env"],
        "spread over zones": any(
            each["topologyKey"] == "topology.kubernetes.io/zone"
            for each in the_pod.get("topologySpreadConstraints", [])
        ),
        "a limit on memory": "memory" in the_container.get("resources", {}).get("limits", {}),
        "a restricted namespace": namespace["metadata"]["labels"].get(
            "pod-security.kubernetes.io/enforce"
        )
        == "restricted",
        "nodes that can be drained": budget["spec"].get("maxUnavailable") == 1,
        "nothing is let through by default": any(
            spec["podSelector"] == {}
            and set(spec["policyTypes"]) == {"Ingress", "Egress"}
            and not spec.get("ingress")
            and not spec.get("egress")
            for spec in policies.values()
        ),
        "only its port is let through": [
            entry["port"]
            for spec in policies.values()
            for rule in spec.get("ingress", [])
            for entry in rule.get("ports", [{"port": None}])
        ]
        == [port],
        "all in one namespace": {
            each["metadata"].get("namespace") for each in all_ if each["kind"] != "Namespace"
        }
        == {namespace["metadata"]["name"]},
    }
    return [words for words, holds in true.items() if not holds]


@pytest.mark.parametrize("size", SIZES)
def test_kubernetes_accepts_it(size: str, tmp_path: Path) -> None:
    """Strictly: a field that is misspelled would be ignored otherwise."""
    assert is_valid(manifests(size), tmp_path)


def test_a_misspelled_probe_is_noticed(tmp_path: Path) -> None:
    """Kubernetes would drop it and call the pod ready."""
    all_ = manifests("economy")
    probe = container(all_)["readinessProbe"]
    probe["periodSecond"] = probe.pop("periodSeconds")
    assert not is_valid(all_, tmp_path)


@pytest.mark.parametrize("size", SIZES)
def test_it_can_do_little_and_stops_in_order(size: str) -> None:
    """See the list above."""
    assert problems(manifests(size)) == []


Change = Callable[[Manifests], object]

CHANGES: dict[str, Change] = {
    "an image by its digest": lambda it: container(it).update(image="billing-service:latest"),
    "no root": lambda it: pod(it)["securityContext"].update(runAsUser=0),
    "a read-only image": lambda it: container(it)["securityContext"].pop("readOnlyRootFilesystem"),
    "no capabilities": lambda it: container(it)["securityContext"].pop("capabilities"),
    "no more privileges": lambda it: container(it)["securityContext"].pop(
        "allowPrivilegeEscalation"
    ),
    "the usual system calls": lambda it: pod(it)["securityContext"].pop("seccompProfile"),
    "no token": lambda it: pod(it).pop("automountServiceAccountToken"),
    "probes over gRPC": lambda it: container(it).update(readinessProbe={"tcpSocket": {"port": 1}}),
    "a pause before it stops": lambda it: pod(it).update(terminationGracePeriodSeconds=8),
    "HTTP/2": lambda it: of_kind(it, "Service")[0]["spec"]["ports"][0].pop("appProtocol"),
    "a service that leads to it": lambda it: of_kind(it, "Service")[0]["spec"].update(
        selector={"app": "other"}
    ),
    "it listens there": lambda it: container(it)["ports"][0].update(containerPort=9002),
    "secrets from a secret": lambda it: container(it)["env"].append(
        {"name": "BILLING_TOKEN", "value": "x"}
    ),
    "the region of a database of RDS": lambda it: container(it)["env"].remove(
        next(each for each in container(it)["env"] if each["name"] == "AWS_REGION")
    ),
    "spread over zones": lambda it: pod(it).pop("topologySpreadConstraints"),
    "a limit on memory": lambda it: container(it)["resources"].pop("limits"),
    "a restricted namespace": lambda it: of_kind(it, "Namespace")[0]["metadata"]["labels"].clear(),
    "nodes that can be drained": lambda it: of_kind(it, "PodDisruptionBudget")[0].update(
        spec={"minAvailable": 1}
    ),
    "nothing is let through by default": lambda it: it.remove(
        next(each for each in it if each["metadata"]["name"] == "nothing")
    ),
    "only its port is let through": lambda it: next(
        each for each in of_kind(it, "NetworkPolicy") if each["spec"].get("ingress")
    )["spec"]["ingress"][0].pop("ports"),
    "all in one namespace": lambda it: deployment(it)["metadata"].update(namespace="default"),
}


@pytest.mark.parametrize("words", CHANGES)
def test_it_would_be_noticed(words: str) -> None:
    """Everything in the list has been seen to fail."""
    all_ = manifests("economy")
    CHANGES[words](all_)
    assert words in problems(all_)


def test_a_hospital_has_more_than_one() -> None:
    """The autoscaler alone says how many."""
    (scaling,) = of_kind(manifests("hospital"), "HorizontalPodAutoscaler")
    assert scaling["spec"]["minReplicas"] >= 2
    assert "replicas" not in deployment(manifests("hospital"))["spec"]
    assert deployment(manifests("economy"))["spec"]["replicas"] == 1


# ---------------------------------------------------------------- the image


def test_the_containerfile_has_no_lint() -> None:
    """As hadolint sees it."""
    ended = tool("hadolint", str(REPOSITORY / "Containerfile"))
    assert ended.returncode == 0, ended.stdout


def test_the_image_is_one_program() -> None:
    """From nothing, run by nobody, and not to be changed."""
    stages = re.split(r"(?m)^FROM ", (REPOSITORY / "Containerfile").read_text())
    last = stages[-1]
    assert last.startswith("scratch\n")
    assert re.findall(r"(?m)^(?:COPY|ADD) (.*)$", last) == [
        "--from=build --chmod=0555 /source/target/release/billing-service /billing-service"
    ]
    assert "\nUSER 65532:65532\n" in last
    assert '\nENTRYPOINT ["/billing-service"]' in last
    assert "org.opencontainers.image.revision" in last
    for stage in stages[1:-1]:
        image = stage.split()[0]
        assert ":" in image or image == "chef", f"{image} is whatever it is today"


def test_containers_on_this_machine_are_for_this_machine() -> None:
    """No port of compose.yaml is open to others."""
    services = yaml.safe_load((REPOSITORY / "compose.yaml").read_text())["services"]
    assert set(services) == {"postgres", "kafka", "billing"}
    for name, service in services.items():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), name
        assert ":" in service.get("image", "built:here"), name
