"""What a package index and Airflow's registry show: README and addresses as hatchling makes them, and the modules."""

import importlib
import re

import pytest
import readme_renderer.markdown
import yaml
from hatchling.metadata.core import CoreMetadata, ProjectMetadata
from hatchling.plugin.manager import PluginManager

from airflow_azure_wi import __version__
from airflow_azure_wi.airflow_compat import BaseHook
from airflow_azure_wi.preflight import BaseOperator, BaseTrigger
from airflow_azure_wi.provider import HOOK_NAME, get_provider_info
from dev._metadata import Addresses, readme_for_index
from tests.docs.pages import ROOT

REPOSITORY = "https://git.example.org/owner/airflow-azure-wi"
FILES = re.compile(rf"{REPOSITORY}/(?:blob|raw)/v{re.escape(__version__)}/([^#]*)(?:#.*)?")
KINDS = {"hooks": BaseHook, "operators": BaseOperator, "triggers": BaseTrigger}


def core_metadata(**addresses: str) -> CoreMetadata:
    """Return the metadata of the distributions, with other addresses than those of pyproject.toml."""
    project = ProjectMetadata(str(ROOT), PluginManager())
    project.config["tool"]["hatch"]["metadata"]["hooks"]["custom"] |= addresses
    return project.core


def rendered(metadata: CoreMetadata) -> str:
    html = readme_renderer.markdown.render(metadata.readme)
    assert html is not None
    return str(html)


def targets(html: str) -> set[str]:
    """Return what a page leads to outside of it."""
    return set(re.findall(r'(?:href|src)="([^#"][^"]*)"', html))


def test_without_a_host_nothing_is_linked_but_what_an_upload_makes() -> None:
    metadata = core_metadata(repository="", documentation="")
    index = f"https://pypi.org/project/airflow-azure-wi/{__version__}/"
    assert metadata.urls == {"Documentation": index}
    html = rendered(metadata)
    assert targets(html) == {f"{index}#files"}
    assert "<img" not in html
    assert "Troubleshooting (<code>docs/" in html


def test_with_a_host_every_link_and_picture_is_a_file_at_the_tag() -> None:
    metadata = core_metadata(repository=f"{REPOSITORY}/", documentation="")
    html = rendered(metadata)
    found = {target: FILES.fullmatch(target) for target in targets(html) | set(metadata.urls.values())}
    files = {target: match[1] for target, match in found.items() if match}
    assert len(files) > 10
    assert [target for target, file in files.items() if not (ROOT / file).is_file()] == []
    assert found.keys() - files.keys() == {REPOSITORY, f"{REPOSITORY}/issues"}
    pictures = set(re.findall(r'<img[^>]* src="([^"]*)"', html))
    assert len(pictures) >= 2
    assert all(picture.startswith(f"{REPOSITORY}/raw/") for picture in pictures)
    assert metadata.urls.keys() == {"Documentation", "Source", "Changelog", "Issues"}


def test_a_published_site_is_the_documentation() -> None:
    site = "https://docs.example.org/airflow-azure-wi/"
    assert core_metadata(repository=REPOSITORY, documentation=site).urls["Documentation"] == site


@pytest.mark.parametrize("address", ["", REPOSITORY])
def test_code_stays_as_it_is(address: str) -> None:
    hook = {"repository": address, "documentation": "", "file": "{repository}/{path}", "picture": "{repository}/{path}"}
    addresses = Addresses("airflow-azure-wi", __version__, hook)
    code = "`table[row](column)`\n\n```python\ntable[row](column)\n```\n\n1. Run\n\n   ```python\n   a[b](c)\n   ```\n"
    assert readme_for_index(f"{code}[docs](docs/index.md)\n", addresses).startswith(code)


def test_the_registry_file_names_what_there_is() -> None:
    registry = yaml.safe_load((ROOT / ".airflow-registry.yaml").read_text(encoding="utf-8"))
    project = core_metadata()
    info = get_provider_info()
    assert (registry["package-name"], registry["display-name"]) == (project.name, HOOK_NAME)
    assert info["package-name"] == registry["package-name"]
    assert project.description.startswith(registry["description"].rstrip("."))
    listed = {kind: [each["module"].rpartition(".") for each in registry[kind]] for kind in KINDS}
    for kind, classes in listed.items():
        for module, _, name in classes:
            assert issubclass(getattr(importlib.import_module(module), name), KINDS[kind])
    # Its addresses are known when those of the project are.
    assert ("source-url" in registry) == ("docs-url" in registry) == ("Source" in project.urls)
