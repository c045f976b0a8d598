"""What is known of a provider."""

from importlib.metadata import requires


def get_provider_min_airflow_version(provider: str) -> tuple[int, ...]:
    """Return the lowest Airflow that a provider's distribution allows."""
    [requirement] = [line for line in requires(provider) or () if line.startswith("apache-airflow>=")]
    version = requirement.removeprefix("apache-airflow>=").split(",")[0].split(";")[0].strip()
    return tuple(int(part) for part in version.split("."))
