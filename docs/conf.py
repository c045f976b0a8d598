"""How Sphinx builds the site. `./dev/nox -s docs` calls it."""

import re

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

import airflow_azure_wi

project = "airflow-azure-wi"
author = "the airflow-azure-wi contributors"
release = airflow_azure_wi.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
root_doc = "index"
# Texts of errors stay as people copy them.
smartquotes = False

# Links within pages are to headings, as on the host where people read the sources.
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
# What the API reference mentions but does not describe: other packages, and types that a DAG author never imports.
nitpick_ignore_regex = [
    ("py:.*", r"(airflow|azure|starlette|ssl|collections|contextlib|pathlib|typing)\..*"),
    ("py:class", r"(Async)?WorkloadIdentityCredential|AccessToken|airflow_azure_wi\..*\.(Client|Target)"),
]

html_theme = "furo"
html_static_path = ["static"]
# What furo leaves wider than its column, or in the wrong colours.
html_css_files = ["site.css"]
html_title = f"airflow-azure-wi {release}"
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_show_copyright = False
html_theme_options = {"top_of_page_buttons": []}
pygments_style = "default"
pygments_dark_style = "monokai"


class FindableErrors(SphinxTransform):
    """Makes each heading of the page about errors, and each code and name in it, an entry of the index.

    The site's search ranks entries of the index above everything else, and they lead to their own place on the page.
    """

    # Before SphinxDomains, which collects the entries.
    default_priority = 800

    def apply(self) -> None:
        """Go through the headings below the groups of errors."""
        if self.env.docname != "how-to/troubleshooting":
            return
        for section in list(self.document.findall(nodes.section)):
            if section.parent.parent is not self.document and isinstance(section[0], nodes.title):
                self._index(section, section[0].astext())

    def _index(self, section: nodes.section, heading: str) -> None:
        """Index `The file … is gone`, `Refused (403 Code)` with each of its parts, and `AADSTS1 and AADSTS2`."""
        text, _, in_brackets = heading.rstrip(")").partition(" (")
        codes = re.findall(r"AADSTS\d+", heading)
        for code in codes:
            if code.lower() not in section["ids"]:
                section["ids"].append(code.lower())
            self._lead(section, code, code.lower())
        if not codes:
            names = {text.replace("… ", ""), in_brackets, in_brackets.removeprefix("403 ")} - {""}
            for name in sorted(names):
                self._lead(section, name, section["ids"][0])

    @staticmethod
    def _lead(section: nodes.section, name: str, anchor: str) -> None:
        section.insert(1, addnodes.index(entries=[("single", name, anchor, "main", None)]))


def enlarge(_: Sphinx, document: nodes.document) -> None:
    """Let each picture fill its column, and lead to its file: Sphinx links what has a width."""
    for image in document.findall(nodes.image):
        image["width"] = "100%"


def setup(app: Sphinx) -> None:
    """Let Sphinx call both."""
    app.add_transform(FindableErrors)
    app.connect("doctree-read", enlarge)
