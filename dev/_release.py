"""What is made from CHANGELOG.md and pyproject.toml: the date of a release, its SBOM, the dependencies and why each.

`./dev/nox -s reference` writes the SBOM and the checklist.
"""

from __future__ import annotations

import re
import uuid
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SBOM = ROOT / "dev" / "airflow-azure-wi.cdx.json"
CHECKLIST = ROOT / "docs" / "reference" / "checklist.md"
# That of an undated changelog, which hatchling takes without SOURCE_DATE_EPOCH.
UNDATED = datetime(2020, 2, 2, tzinfo=timezone.utc)


def released() -> datetime:
    """Return the date of the newest version in CHANGELOG.md: the same sources give the same bytes, on any day."""
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"(?m)^## \[(?!Unreleased).*\] - (\d{4}-\d{2}-\d{2})$", changes)
    return datetime.strptime(newest[1], "%Y-%m-%d").replace(tzinfo=timezone.utc) if newest else UNDATED


def build_variables() -> dict[str, str]:
    """Return the environment variable that dates what is inside the distributions."""
    return {"SOURCE_DATE_EPOCH": str(int(released().timestamp()))}


def sbom() -> str:
    """Return the SBOM as CycloneDX JSON: the package, and what it requires of the environment it is installed in.

    The wheel holds no other software. What it requires has no version here, as pip chooses one when it installs.
    """
    from cyclonedx.model import Property
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.license import DisjunctiveLicense
    from cyclonedx.output.json import JsonV1Dot7
    from hatchling.metadata.core import ProjectMetadata
    from hatchling.plugin.manager import PluginManager
    from packageurl import PackageURL

    project = ProjectMetadata(str(ROOT), PluginManager())
    url = PackageURL("pypi", name=project.name, version=project.version)
    package = Component(
        name=project.name, version=project.version, type=ComponentType.LIBRARY, purl=url, bom_ref=str(url),
        description=project.core.description, licenses=[DisjunctiveLicense(id=project.core.license_expression)],
    )  # fmt: skip
    required = [
        Component(
            name=name, type=ComponentType.LIBRARY, purl=PackageURL("pypi", name=name), bom_ref=f"pkg:pypi/{name}",
            is_external=True, properties=[Property(name=f"{project.name}:requires", value=bounds)],
        )
        for name, bounds in map(name_and_bounds, project.core.dependencies)
    ]  # fmt: skip
    bom = Bom(
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, str(package.purl)),
        metadata=BomMetaData(component=package, timestamp=released()),
        components=required,
    )
    bom.register_dependency(package, required)
    return JsonV1Dot7(bom).output_as_string(indent=2) + "\n"


def name_and_bounds(requirement: str) -> tuple[str, str]:
    """Return what a requirement of pyproject.toml names, as package indexes spell it, and which versions."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    parsed = Requirement(requirement)
    return canonicalize_name(parsed.name), str(parsed.specifier)


def checklist() -> str:
    """Return the checklist, with each dependency and the comment that is above it in pyproject.toml."""
    begin, end = "| Package | Why |\n| --- | --- |\n", "\n## "
    before, _, rest = CHECKLIST.read_text(encoding="utf-8").partition(begin)
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    [listed] = re.findall(r"(?ms)^dependencies = \[$(.*?)^]$", project)
    rows = re.findall(r'((?: *# .*\n)+) *"(.+)",', listed)
    table = "".join(f"| `{name}` | {' '.join(re.findall('# (.*)', comment))} |\n" for comment, name in rows)
    return before + begin + table + end + rest.partition(end)[2]


if __name__ == "__main__":
    CHECKLIST.write_text(checklist(), encoding="utf-8")
    SBOM.write_text(sbom(), encoding="utf-8")
