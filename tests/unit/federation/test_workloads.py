"""The names of the chart's service accounts, as apache/airflow's own tests of the chart expect them.

Where a test of the chart expects a result, it is named: its files are below helm-tests/tests/helm_tests, and since 2026
below chart/tests/helm_tests, of https://github.com/apache/airflow.
"""

from typing import Any

import pytest

from airflow_azure_wi.federation.workloads import Release, problems_of_values

OFF = {"serviceAccount": {"create": False}}


def named(name: str) -> dict[str, Any]:
    return {"serviceAccount": {"name": name}}


@pytest.mark.parametrize(
    ("release", "values", "expected"),
    [
        # airflow_aux/test_basic_helm_chart.py, DEFAULT_OBJECTS_STD_NAMING
        ("test-basic", {}, "test-basic-airflow"),
        # the same, test_basic_deployments
        ("test-basic", {"fullnameOverride": "test-basic"}, "test-basic"),
        # `contains` and `trunc 63 | trimSuffix "-"` of airflow.fullname in chart/templates/_helpers.yaml
        ("airflow", {}, "airflow"),
        ("my-airflow-prod", {}, "my-airflow-prod"),
        ("prod", {"nameOverride": "af"}, "prod-af"),
        ("prod-af", {"nameOverride": "af"}, "prod-af"),
        ("airflow", {"nameOverride": "af"}, "airflow-af"),
        ("prod", {"nameOverride": "", "fullnameOverride": ""}, "prod-airflow"),
        ("r" * 53, {}, "r" * 53 + "-airflow"),
        ("r" * 53, {"nameOverride": "a" * 20}, "r" * 53 + "-" + "a" * 9),
        ("x", {"fullnameOverride": "f" * 62 + "-tail"}, "f" * 62),
    ],
)
def test_the_full_name(release: str, values: dict[str, Any], expected: str) -> None:
    assert Release(release, values).full_name == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        # airflow_aux/test_basic_helm_chart.py: Airflow 3 has an API server and a DAG processor, Airflow 2 a web server
        (
            {"fullnameOverride": "t"},
            ["t-scheduler", "t-triggerer", "t-worker", "t-dag-processor", "t-api-server"],
        ),
        (
            {"fullnameOverride": "t", "airflowVersion": "2.4.0"},
            ["t-scheduler", "t-triggerer", "t-worker", "t-webserver"],
        ),
        # the same, test_basic_deployment_with_standalone_dag_processor
        (
            {"fullnameOverride": "t", "airflowVersion": "2.11.0", "dagProcessor": {"enabled": True}},
            ["t-scheduler", "t-triggerer", "t-worker", "t-dag-processor", "t-webserver"],
        ),
        (
            {"triggerer": {"enabled": False}},
            ["r-airflow-scheduler", "r-airflow-worker", "r-airflow-dag-processor", "r-airflow-api-server"],
        ),
        # security/test_rbac.py, test_service_account_custom_names
        (
            {
                "airflowVersion": "3.0.0",
                "executor": "CeleryExecutor,KubernetesExecutor",
                "scheduler": named("scheduler-sa"),
                "dagProcessor": named("processor-sa"),
                "apiServer": named("server-sa"),
                "workers": named("worker-sa"),
                "triggerer": named("triggerer-sa"),
            },
            ["scheduler-sa", "triggerer-sa", "worker-sa", "processor-sa", "server-sa"],
        ),
        # security/test_rbac.py, test_deployments_no_rbac_with_sa: one account for both kinds of workers, or one each
        (
            {"fullnameOverride": "t", "executor": "CeleryExecutor,KubernetesExecutor"},
            ["t-scheduler", "t-triggerer", "t-worker", "t-dag-processor", "t-api-server"],
        ),
        (
            {
                "fullnameOverride": "t",
                "executor": "CeleryExecutor,KubernetesExecutor",
                "workers": {"useWorkerDedicatedServiceAccounts": True},
            },
            ["t-scheduler", "t-triggerer", "t-worker-celery", "t-worker-kubernetes", "t-dag-processor", "t-api-server"],
        ),
        # airflow_aux/test_pod_template_file.py, test_workers_kubernetes_service_account_custom_names_in_objects
        (
            {
                "fullnameOverride": "t",
                "executor": "KubernetesExecutor",
                "workers": {"useWorkerDedicatedServiceAccounts": True, "kubernetes": named("TestWorkerKubernetes")},
            },
            ["t-scheduler", "t-triggerer", "TestWorkerKubernetes", "t-dag-processor", "t-api-server"],
        ),
        # https://github.com/apache/airflow/pull/64730: separate accounts since chart 1.21
        (
            {
                "fullnameOverride": "t",
                "executor": "KubernetesExecutor",
                "workers": {"kubernetes": {"serviceAccount": {"create": True}}},
            },
            ["t-scheduler", "t-triggerer", "t-worker-kubernetes", "t-dag-processor", "t-api-server"],
        ),
        # https://github.com/apache/airflow/issues/66579 and its fix, #66598
        (
            {
                "fullnameOverride": "t",
                "executor": "KubernetesExecutor",
                "workers": {"kubernetes": {"serviceAccount": {"create": False, "name": "airflow"}}},
            },
            ["t-scheduler", "t-triggerer", "airflow", "t-dag-processor", "t-api-server"],
        ),
        # https://github.com/apache/airflow/issues/67261
        (
            {"fullnameOverride": "t", "workers": {"celery": named("my-custom-sa")}},
            ["t-scheduler", "t-triggerer", "my-custom-sa", "t-dag-processor", "t-api-server"],
        ),
        # null under workers.celery and workers.kubernetes is the chart's own default, and means unset
        (
            {
                "fullnameOverride": "t",
                "executor": "CeleryKubernetesExecutor",
                "workers": {
                    **named("shared"),
                    "celery": {"serviceAccount": {"create": None, "name": None}},
                    "kubernetes": {"serviceAccount": {"create": None}},
                },
            },
            ["t-scheduler", "t-triggerer", "shared", "t-dag-processor", "t-api-server"],
        ),
        # airflow_core/test_worker.py, test_worker_service_account_creation_for_local_executor
        (
            {"fullnameOverride": "t", "executor": "LocalExecutor"},
            ["t-scheduler", "t-triggerer", "t-dag-processor", "t-api-server"],
        ),
        # security/test_rbac.py, test_deployments_no_rbac_no_sa: accounts that are not created
        (
            {
                "fullnameOverride": "t",
                "scheduler": OFF,
                "workers": {"serviceAccount": {"create": False, "name": "existing"}},
            },
            ["default", "t-triggerer", "existing", "t-dag-processor", "t-api-server"],
        ),
    ],
)
def test_the_accounts(values: dict[str, Any], expected: list[str]) -> None:
    assert list(Release("r", values).names()) == expected


def test_each_account_says_why_it_was_taken() -> None:
    values = {"executor": "CeleryExecutor,KubernetesExecutor", "workers": {"celery": named("mine")}, "scheduler": OFF}
    because = {account.component: account.because for account in Release("r", values).accounts()}
    assert because["Celery workers"] == "workers.celery.serviceAccount.name"
    assert because["tasks in pods"] == "the release's name and the chart's name"
    assert because["scheduler"] == "scheduler.serviceAccount.create is false, and no name is set"


def test_the_account_that_every_pod_has_is_taken_with_a_warning() -> None:
    [warning] = [line for line in Release("r", {"triggerer": OFF}).summary() if line.startswith("Warning")]
    assert "'default' is the service account of every pod" in warning
    assert "triggerer" in warning


@pytest.mark.parametrize(
    ("values", "note"),
    [
        (None, "Assumed: Airflow 3"),
        ({"executor": "LocalExecutor"}, "tasks run in the scheduler"),
        ({"workers": {"celery": {"sets": [{"name": "big"}]}}}, "workers.celery.sets is not read"),
        ({"podTemplate": "kind: Pod"}, "podTemplate is not read"),
        ({"airflow": {"executor": "LocalExecutor"}}, "give only the values under its name"),
        ({"executor": "KubernetesExecutor", "workers": {"kubernetes": named("x")}}, "name is not used"),
    ],
)
def test_what_was_assumed_or_left_out_is_said(values: dict[str, Any] | None, note: str) -> None:
    assert any(note in each for each in Release("r", values).notes())


def test_values_that_say_all_need_no_note() -> None:
    assert list(Release("r", {"executor": "CeleryExecutor"}).notes()) == []


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ([], "expected the values of the chart"),
        ({"workers": "many"}, "workers is 'many', expected a mapping"),
        ({"workers": ["many"]}, "workers is a list, expected a mapping"),
        ({"scheduler": {"serviceAccount": "mine"}}, "scheduler.serviceAccount is 'mine'"),
        ({"workers": {"celery": {"serviceAccount": 1}}}, "workers.celery.serviceAccount is 1"),
    ],
)
def test_values_of_another_shape(values: Any, problem: str) -> None:
    assert problem in "; ".join(problems_of_values(values))


def test_values_of_the_right_shape() -> None:
    assert not problems_of_values({"scheduler": None, "workers": {"celery": None}, "anything": "else"})
