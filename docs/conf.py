"""How Sphinx builds the site. `./dev/nox -s docs` calls it."""

import airflow_azure_wi

project = "airflow-azure-wi"
author = "the airflow-azure-wi contributors"
release = airflow_azure_wi.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
root_doc = "index"

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
# Names of tests and options are long: without a line break in them, tables are wider than their column.
html_css_files = ["tables.css"]
html_title = f"airflow-azure-wi {release}"
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_show_copyright = False
html_theme_options = {"top_of_page_buttons": []}
pygments_style = "default"
pygments_dark_style = "monokai"
