"""What is made when the distributions are built: the project's addresses, and the README as a package index shows it.

Hatchling loads this file by the path in pyproject.toml, also when somebody builds from the sdist: it imports nothing of
the project.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

# A link or a picture of Markdown, and what it must not be looked for in.
LINK = re.compile(r"(?P<picture>!?)\[(?P<text>[^]]+)]\((?P<target>[^)\s]+)\)")
CODE = re.compile(r"(?ms)(^ *```.*?^ *```$|`[^`\n]+`)")
ABSOLUTE = re.compile(r"[a-z]+:")


class CustomMetadataHook(MetadataHookInterface):
    """Sets `urls` and `readme` from the addresses in `[tool.hatch.metadata.hooks.custom]`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the fields that pyproject.toml calls dynamic."""
        addresses = Addresses(metadata["name"], metadata["version"], self.config)
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["urls"] = addresses.project_urls()
        metadata["readme"] = {"content-type": "text/markdown", "text": readme_for_index(text, addresses)}


class Addresses:
    """Where the project is; until its host is known, what is on the index and in the sdist."""

    def __init__(self, name: str, version: str, settings: dict[str, str]) -> None:
        self.settings = settings
        self.version = version
        # It exists as soon as this version is uploaded.
        self.index = f"https://pypi.org/project/{name}/{version}/"
        self.repository = settings["repository"].rstrip("/")

    def of(self, path: str, *, picture: bool = False) -> str:
        """Return the address of a file of the repository, at the tag of this version."""
        pattern = self.settings["picture" if picture else "file"]
        return pattern.format(repository=self.repository, version=self.version, path=path)

    def project_urls(self) -> dict[str, str]:
        """Return what the index lists; *Documentation* is also where Airflow's page of providers leads."""
        if not self.repository:
            return {"Documentation": self.index}
        return {
            "Documentation": self.settings["documentation"] or self.of("docs/index.md"),
            "Source": self.repository,
            "Changelog": self.of("CHANGELOG.md"),
            "Issues": f"{self.repository}/issues",
        }


def readme_for_index(text: str, addresses: Addresses) -> str:
    """Return the README with no relative link: a package index has no files beside it.

    Until the repository has an address, a link becomes the name of a file in the sdist, and a picture its description:
    an index shows only pictures that it can fetch over https.
    """

    def written(found: re.Match[str]) -> str:
        target = found["target"]
        if ABSOLUTE.match(target) or target.startswith("#"):
            return found[0]
        if addresses.repository:
            picture = bool(found["picture"])
            return f"{found['picture']}[{found['text']}]({addresses.of(target, picture=picture)})"
        if found["picture"]:
            return f"*{found['text']}.*"
        path = target.partition("#")[0]
        return f"`{path}`" if found["text"].strip("`") == path else f"{found['text']} (`{path}`)"

    parts = CODE.split(text)
    # Every other part is code.
    prose = [LINK.sub(written, part) if number % 2 == 0 else part for number, part in enumerate(parts)]
    readme = "".join(prose)
    if addresses.repository:
        return readme
    return f"{readme.rstrip()}\n\nThe files named here are in the [source distribution]({addresses.index}#files).\n"
