"""The files in examples/kubernetes: what Kubernetes would be given is valid, and pods get what AKS looks for."""

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator

from airflow_azure_wi.deployment import SHARED_MEMORY, Deployment
from airflow_azure_wi.federation.workloads import Release

EXAMPLES = Path(__file__).parents[2] / "examples" / "kubernetes"
# Two of the schemas that kubernetes-validate carries, an older and a newer one.
KUBERNETES = ("1.31", "1.35")
LABEL = "azure.workload.identity/use"
CLIENT_ID = "azure.workload.identity/client-id"


def example(name: str) -> dict[str, Any]:
    return yaml.safe_load((EXAMPLES / name).read_text())


def assert_valid(resource: dict[str, Any]) -> None:
    for version in KUBERNETES:
        kubernetes_validate.validate(resource, version, strict=True)


def service_account(name: str, annotations: dict[str, str]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "annotations": annotations}}


def pod(spec: dict[str, Any], labels: dict[str, str] | None = None) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod", "labels": labels or {}}, "spec": spec}


def test_the_pod_template_is_valid() -> None:
    assert_valid(example("pod_template.yaml"))


def test_a_wrong_name_in_a_pod_is_found() -> None:
    template = example("pod_template.yaml")
    template["spec"]["serviceAcountName"] = template["spec"].pop("serviceAccountName")
    with pytest.raises(kubernetes_validate.ValidationError):
        assert_valid(template)


def test_the_executor_makes_a_labelled_pod_of_the_template() -> None:
    made = PodGenerator.serialize_pod(
        PodGenerator.construct_pod(
            dag_id="a_dag",
            task_id="a_task",
            pod_id="a-pod",
            try_number=1,
            map_index=-1,
            kube_image="",
            date=datetime(2026, 1, 1, tzinfo=timezone.utc),
            args=["python"],
            pod_override_object=None,
            base_worker_pod=PodGenerator.deserialize_model_file(str(EXAMPLES / "pod_template.yaml")),
            namespace="airflow",
            scheduler_job_id="1",
            run_id="a_run",
        )
    )
    assert_valid(made)
    assert made["metadata"]["labels"][LABEL] == "true"
    assert made["spec"]["serviceAccountName"] in {account.name for account in Release("airflow", None).accounts()}
    [container] = made["spec"]["containers"]
    assert container["image"] == example("pod_template.yaml")["spec"]["containers"][0]["image"]


@pytest.mark.parametrize("component", ["workers", "triggerer"])
def test_the_chart_is_given_labels_and_annotations_for(component: str) -> None:
    values = example("values.yaml")[component]
    annotations = values["serviceAccount"]["annotations"]
    assert values["labels"] == {LABEL: "true"}
    assert list(annotations) == [CLIENT_ID]
    assert_valid(service_account("airflow", annotations))
    assert_valid(pod({"containers": [{"name": "base"}]}, values["labels"]))


def test_celery_workers_share_their_tokens_in_memory() -> None:
    options = example("values-celery.yaml")["config"]["azure_workload_identity"]
    folder = Deployment.of({}, options).token_cache_folder
    assert folder is not None
    assert folder.parent == SHARED_MEMORY
