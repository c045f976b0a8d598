"""What contributors and CI run, each in an environment below .venvs: `./dev/nox --list`, `./dev/nox -s lint`.

`./dev/nox` is nox at its pinned version, with uv. An environment is made once from the pins in dev/pins, and made again
when these or the dependencies in pyproject.toml change.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "dev"))

from _airflows import LOWEST, MAIN, PINS, SUPPORTED, TARGETS, Target, Version  # noqa: E402
from _debian import CHROMIUM, POSTGRESQL, REDIS, install  # noqa: E402
from _nox import impersonal  # noqa: E402
from _release import build_variables  # noqa: E402
from _stock import STOCK  # noqa: E402

VENVS = ROOT / ".venvs"
OVERRIDES = PINS / "overrides.txt"
VENV = ROOT / ".venv"
DIST = ROOT / "dist"
# What the Dockerfile says that its Runtime carries. The image cannot be run here, its Airflow can.
DOCKERFILE = (ROOT / "examples" / "astro" / "Dockerfile").read_text(encoding="utf-8")
[(RUNTIME_AIRFLOW, RUNTIME_PYTHON)] = re.findall(r"(?m)^# Airflow ([\d.]+) on Python (\d+\.\d+)$", DOCKERFILE)
SITE = ROOT / "build" / "docs"
DEV_GROUPS = ("test", "parallel", "parse", "recipes", "messaging", "lint", "docs", "release")
UV = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
# What a browser fetches without being asked to.
FETCHED = re.compile(r'<(?:script|img|iframe|link(?=[^>]*\brel="(?:stylesheet|preload)"))\b[^>]*?(?:src|href)="(.*?)"')

nox.needs_version = ">=2026"
nox.options.default_venv_backend = "uv"
nox.options.envdir = str(VENVS)
nox.options.reuse_venv = "yes"
# An interpreter that uv fetched itself would test a Python that the machine does not have.
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = True
nox.options.sessions = ["lint", "test", "docs"]


def which(python: str) -> str:
    """Return the path of a Python of this machine, such as 3.12; its version, if there is none."""
    if sys.version.startswith(f"{python}."):
        return os.path.realpath(sys.executable)
    found = Path(shutil.which(f"python{python}") or python)
    if found.parent.name != "shims":
        return str(found)
    # Those of pyenv that are not active are of no use on PATH: their shims answer "command not found".
    return str(max(found.parent.parent.glob(f"versions/{python}.*/bin/{found.name}"), default=python))


PYTHONS = {version: path for version in SUPPORTED if "/" in (path := which(f"{version[0]}.{version[1]}"))}
if not PYTHONS:
    sys.exit("This machine has no Python 3.10 to 3.13: install one (apt-get, pyenv, ...).")
# For what needs only one: that of nox, if the package supports it.
PYTHON = PYTHONS.get((sys.version_info[0], sys.version_info[1]), PYTHONS[max(PYTHONS)])
BY_NAME = {target.name: target for target in TARGETS}


def cell(target: Target, python: Version, *tags: str) -> nox.param:
    """Return an Airflow on a Python, as parameters of a session."""
    name = f"{target.name}-py{python[0]}.{python[1]}"
    return nox.param(PYTHONS[python], target.name, id=name, tags=sorted(set(tags)))


def pythons(target: Target) -> list[Version]:
    """Return the Pythons that an Airflow supports and this machine has, the oldest first."""
    return [version for version in PYTHONS if target.supports(version)]


def contract_cells() -> list[nox.param]:
    """Return each Airflow on one Python: its oldest or its newest. Only these have tags.

    Tags pick sessions of every name, whatever else is asked for.
    """
    chosen = [(target, pythons(target)) for target in TARGETS]
    return [
        cell(target, found[0 if target.at_oldest else -1], target.airflow, target.name, *(["ci"] * target.in_ci))
        for target, found in chosen
        if found
    ]


def newest_cells(*targets: Target) -> list[nox.param]:
    """Return Airflows on their newest Python."""
    return [cell(target, found[-1]) for target in targets if (found := pythons(target))]


# Environments


def uv_settings() -> dict[str, str]:
    """Return how uv reaches the package index: it does not read pip's settings."""
    # The first download of a wheel of 100 MB may be slow; uv gives up after 30 s by default.
    settings = {"UV_PYTHON_DOWNLOADS": "never", "UV_HTTP_TIMEOUT": os.environ.get("PIP_DEFAULT_TIMEOUT", "180")}
    for ours, pips in (("UV_DEFAULT_INDEX", "PIP_INDEX_URL"), ("SSL_CERT_FILE", "PIP_CERT")):
        if os.environ.get(pips):
            settings[ours] = os.environ[pips]
    return settings | {name: os.environ[name] for name in settings if name in os.environ}


def make(session: nox.Session, pins: Path, *packages: str) -> None:
    """Install packages at their pinned versions, unless the environment was made with the same."""
    environment = Path(session.bin).parent
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8").split("\n[")
    # The settings of ruff, mypy and pytest change nothing that is installed.
    tables = [table for table in project if not table.lstrip("[").startswith(("tool.ruff", "tool.mypy", "tool.pytest"))]
    files = [file.read_text(encoding="utf-8") for file in (pins, OVERRIDES)]
    made_from = "\0".join([*tables, *files, *packages, str(ROOT)])
    fingerprint = hashlib.sha256(made_from.encode()).hexdigest()
    stamp = environment / "airflow-azure-wi.stamp"
    # Two runs that install at the same time wait for each other.
    with (VENVS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text(encoding="utf-8") == fingerprint:
            return
        session.log(f"Installing what {session.name} needs, which takes minutes the first time")
        session.run_install("uv", "venv", "--clear", "--quiet", "--python", str(session.python), str(environment))
        session.install("--constraints", str(pins), "--overrides", str(OVERRIDES), *packages, env=uv_settings())
        # Last, so that an environment that was never finished has none.
        stamp.write_text(fingerprint, encoding="utf-8")


def make_with(session: nox.Session, target: Target, *groups: str) -> None:
    """Install this package (editable) with an Airflow and dependency groups."""
    packages = ["--editable", ".[testing]", *(part for group in groups for part in ("--group", group))]
    make(session, target.pins, *packages, *target.requirements)


def run(session: nox.Session, program: str, *arguments: str, bin: Path | None = None, **variables: str) -> None:
    """Run a program of an environment, without what belongs to the person who runs it."""
    folder = bin or Path(session.bin)
    path = f"{folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    with tempfile.TemporaryDirectory(prefix="airflow-home-") as home:
        own = impersonal() | {"AIRFLOW_HOME": home, "VIRTUAL_ENV": str(folder.parent), "PATH": path}
        # What nox tells uv would reach the uv of a test.
        nothing = dict.fromkeys(("UV_PYTHON", "UV_PROJECT_ENVIRONMENT", "NOX_CURRENT_SESSION"))
        # A test that is interrupted ends what it has started.
        session.run(
            str(folder / program), *arguments, env=own | nothing | variables, include_outer_env=False,
            external=True, interrupt_timeout=60.0,
        )  # fmt: skip


def in_dev(session: nox.Session, program: str, *arguments: str, **variables: str) -> None:
    """Run a program of `.venv`."""
    run(session, program, *arguments, bin=VENV / "bin", **variables)


# What runs in .venv


@nox.session(python=PYTHON)
def dev(session: nox.Session) -> None:
    """Make .venv: the newest Airflow, and what tests it, lints it and builds the site."""
    make_with(session, MAIN, *DEV_GROUPS)
    if not VENV.is_symlink():
        shutil.rmtree(VENV, ignore_errors=True)
        VENV.symlink_to(Path(session.bin).parent.relative_to(ROOT))


@nox.session(venv_backend="none", requires=["dev"])
def lint(session: nox.Session) -> None:
    """Run ruff and mypy."""
    in_dev(session, "ruff", "check")
    in_dev(session, "ruff", "format", "--check")
    scripts = [str(file) for file in sorted(Path("dev").iterdir()) if file.is_file() and not file.suffix]
    in_dev(session, "mypy", "--scripts-are-modules", "airflow_azure_wi", "dev", *scripts)
    # With the Python of nox, whose types it needs. It lacks what modules of dev/ import: those were checked above.
    silent = ("--follow-imports", "silent")
    in_dev(session, "mypy", *silent, "--python-executable", sys.executable, "noxfile.py", MYPYPATH="dev")


@nox.session(venv_backend="none", requires=["dev"])
def test(session: nox.Session) -> None:
    """Run pytest; arguments after -- go to it, without which two processes run everything."""
    # A file's tests share what it has started; the files come in the order of `testpaths`.
    everything = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")
    in_dev(session, "pytest", *(session.posargs or everything))


@nox.session(venv_backend="none", requires=["dev"])
def docs(session: nox.Session) -> None:
    """Build the site into build/docs; warnings are errors, and it must show without a network."""
    strict = ("--fail-on-warning", "--keep-going", "--nitpicky", "--quiet", "--fresh-env")
    in_dev(session, "python", "-m", "sphinx", *strict, "docs", str(SITE))
    foreign = [
        f"{page.relative_to(SITE)}: {address}"
        for page in sorted(SITE.rglob("*.html"))
        for address in FETCHED.findall(page.read_text(encoding="utf-8"))
        if address.startswith(("http:", "https:", "//"))
    ]
    if foreign:
        session.error("Pages must show without a network, but fetch:\n" + "\n".join(foreign))


@nox.session(venv_backend="none", requires=["dev"], default=False)
def reference(session: nox.Session) -> None:
    """Write what is generated in docs/reference: command-line.md, configuration.md, the table in stock-hooks.md."""
    in_dev(session, "python", "dev/_reference.py")
    in_dev(session, "python", "dev/_release.py")
    in_dev(session, "pytest", "-q", "tests/stock/test_every_type.py", AIRFLOW_AZURE_WI_WRITE_DOCS="1")


# Other Airflows


@nox.session(allow_parallel=True, default=False)
@nox.parametrize(("python", "airflow"), contract_cells())
def versions(session: nox.Session, airflow: str) -> None:
    """Run the contract tests with each Airflow; -t 3.0.6 picks one, -t ci those of CI, -j 2 runs two at once."""
    make_with(session, BY_NAME[airflow], *BY_NAME[airflow].groups)
    # Pytest's cache holds which tests failed last; cells that run at once would overwrite it for each other.
    run(session, "pytest", "-p", "no:cacheprovider", "tests/contract", *session.posargs)


@nox.session(allow_parallel=True, default=False)
@nox.parametrize(("python", "airflow"), newest_cells(*(target for target in TARGETS if target.in_browser)))
def ui(session: nox.Session, airflow: str) -> None:
    """Look at Airflow's pages in Chromium; -- --screenshots=docs/images takes those of the docs again."""
    install(CHROMIUM)
    make_with(session, BY_NAME[airflow], *BY_NAME[airflow].groups)
    # A test waits for a browser and for tasks: on a busy machine, longer than others.
    run(session, "pytest", "-p", "no:cacheprovider", "--timeout=600", "tests/ui", *session.posargs)


@nox.session(python=PYTHON, default=False)
def executors(session: nox.Session) -> None:
    """Run DAGs in a whole Airflow with LocalExecutor and CeleryExecutor, outages, and the files for Kubernetes."""
    install(POSTGRESQL, REDIS)
    make_with(session, MAIN, "test", "executors")
    run(session, "pytest", "-p", "no:cacheprovider", "-s", "tests/executors", *session.posargs)


@nox.session(default=False)
@nox.parametrize(("python", "airflow"), newest_cells(MAIN, LOWEST))
def stock(session: nox.Session, airflow: str) -> None:
    """Run the stock provider's own hook tests with the bridge and without it; every result must be the same."""
    target = BY_NAME[airflow]
    make_with(session, target, "test", "stock-test")
    sources = VENVS / "stock-sources"
    # Uv downloads nothing that it does not install.
    pip = (sys.executable, "-m", "pip", "--quiet", "download", "--no-deps", "--no-binary", STOCK)
    session.run(*pip, "--dest", str(sources), f"{STOCK}=={versions_in(session)[STOCK]}", external=True)
    run(session, "python", "dev/_stock.py", str(sources))


@nox.session(venv_backend="none", default=False)
def pins(session: nox.Session) -> None:
    """Choose the versions in dev/pins again: of all, or of those that are named after --.

    `lowest` takes the lowest versions that pyproject.toml allows for what it names itself, to prove those bounds.
    """
    for name in session.posargs or [*BY_NAME, "tools", "nox"]:
        if name in BY_NAME:
            pin(session, BY_NAME[name])
        else:
            what = ["--group", "tools"] if name == "tools" else [requirements(session, "nox", "uv")]
            compile_pins(session, PINS / f"{name}.txt", *what, "--universal", "--python-version", "3.10")


def pin(session: nox.Session, target: Target) -> None:
    """Resolve an Airflow, and what is installed beside it, into its pin file."""
    groups = {*target.groups, *DEV_GROUPS, "executors"} if target == MAIN else target.groups
    what = ["pyproject.toml", requirements(session, *target.requirements), "--extra", "testing"]
    what += ["--constraints", requirements(session, *target.held)]
    what += [part for group in sorted(groups) for part in ("--group", group)]
    # The lowest versions differ between Pythons, and are only tried on the oldest one.
    how = ("--resolution", "lowest-direct") if target.lowest else ("--universal",)
    compile_pins(session, target.pins, *what, *how, "--python-version", ".".join(map(str, target.oldest_python)))


def requirements(session: nox.Session, *lines: str) -> str:
    """Write a file of requirements, and return its path."""
    with tempfile.NamedTemporaryFile("w", suffix=".in", dir=session.create_tmp(), delete=False) as file:
        file.write("\n".join(lines))
    return file.name


def compile_pins(session: nox.Session, pins: Path, *arguments: str) -> None:
    """Resolve requirements into names and versions: where to download from is the machine's business."""
    bare = ("--no-annotate", "--no-header", "--no-emit-index-url", "--no-emit-find-links")
    # Without --upgrade, the versions that a pin file holds already would be kept.
    how = (*bare, "--upgrade", "--quiet", "--overrides", str(OVERRIDES), "--output-file", str(pins))
    session.run(UV, "pip", "compile", *arguments, *how, env=uv_settings(), external=True)


@nox.session(python=PYTHON, default=False)
def tools(session: nox.Session) -> None:
    """Make .venvs/tools: the Azure CLI and other programs that tests start, without Airflow (800 MB)."""
    make(session, PINS / "tools.txt", "--group", "tools")


# Releases


@nox.session(python=which(RUNTIME_PYTHON), reuse_venv=False, requires=["dev"], default=False)
def release(session: nox.Session) -> None:
    """Build the distributions into dist/, and try them as a user gets them: nothing runs from the checkout.

    Checks their metadata and contents, runs the unit tests from the unpacked sdist, uploads both to an index on this
    machine, installs the Astro example from there beside the Airflow that its Runtime carries, and runs there what a
    user of the extra "testing" runs.
    """
    shutil.rmtree(DIST, ignore_errors=True)
    # Without isolation, so that the build backend is the pinned one.
    build = ("python", "-m", "build", "--no-isolation", "--outdir", str(DIST), str(ROOT))
    in_dev(session, *build, **build_variables())
    [wheel], [sdist] = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    in_dev(session, "twine", "check", "--strict", str(wheel), str(sdist))
    pytest = ("pytest", "-p", "no:cacheprovider", "-q")
    in_dev(session, *pytest, "tests/release/test_distributions.py")
    [target] = [target for target in TARGETS if target.airflow == RUNTIME_AIRFLOW and not target.fab]
    with tempfile.TemporaryDirectory(prefix="release-") as folder:
        with tarfile.open(sdist) as archive:
            archive.extractall(folder, filter="data")
        with session.chdir(Path(folder) / sdist.name.removesuffix(".tar.gz")):
            in_dev(session, *pytest, "--collect-only", "-qqq")
            in_dev(session, *pytest, "tests/unit")
        session.install("--constraints", str(target.pins), "apache-airflow", STOCK, env=uv_settings())
        in_dev(session, *pytest, "tests/release/test_upload.py")
        session.install("--constraints", str(target.pins), f"{wheel}[testing]", env=uv_settings())
        in_dev(session, *pytest, "tests/release/test_testing_extra.py")
        # What the next test itself needs comes after, so that it has no part in that.
        session.install("--constraints", str(target.pins), "pytest-timeout", "hypothesis", env=uv_settings())
        # Where the package's source is not, so that its wheel is what the tests import.
        for name in ("tests", "examples", "dev"):
            shutil.copytree(ROOT / name, Path(folder) / name)
        shutil.copy(ROOT / "pyproject.toml", folder)
        with session.chdir(folder):
            run(session, *pytest, "tests/release/test_astro_project.py")


def versions_in(session: nox.Session) -> dict[str, str]:
    """Return the version of every package in the session's environment."""
    listed = session.run("uv", "pip", "list", "--format", "json", silent=True, stderr=None)
    return {package["name"]: package["version"] for package in json.loads(listed or "[]")}
