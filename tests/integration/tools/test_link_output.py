"""What ``link`` prints, read by the programs that it is printed for: the Azure CLI's parser, shellcheck, HCL."""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from airflow_azure_wi import cli
from dev._debian import SHELLCHECK, install
from tests.docs.pages import DOCS, PAGES, ROOT, blocks_of

ISSUER = "https://oidc.example.com/cluster/"
IDENTITY = ("--identity-name", "airflow", "--resource-group=-data.(1)")
APPLICATION = ("--application", "6f3c0f9e-3a55-4d55-9d1c-2f8f6f1b7a10", "--tenant", "contoso.onmicrosoft.com")
WORKLOADS = ("--issuer", ISSUER, "--astro", "orbit-1", "--subject", '-it\'s $(a) "workload"')
SUBSCRIPTION = ("--subscription", "0b1f6471-1bf0-4dda-aec3-cb9272f09590")
BINDING = ("--binding", "--cluster", "c", "--cluster-group", "g")
PARSER = Path(__file__).with_name("az_parser.py")


@pytest.fixture(scope="session")
def shellcheck() -> str:
    """The program, from Debian where the machine has none."""
    install(SHELLCHECK)
    return str(shutil.which("shellcheck"))


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """What exists: one right, one wrong, one extra, one flexible."""
    subject = "system:serviceaccount:orbit-1:orbit-1-{}-serviceaccount"
    entries = [
        {"name": "right", "subject": subject.format("worker"), "audiences": ["api://AzureADTokenExchange"], "id": "1"},
        {"name": "wrong", "subject": subject.format("scheduler"), "audiences": ["api://wrong"], "id": "2"},
        {"name": "extra", "subject": "else", "audiences": ["api://AzureADTokenExchange"], "id": "3"},
        {"name": "flexible", "subject": None, "audiences": ["api://AzureADTokenExchange"], "id": "4"},
    ]
    (file := tmp_path / "list.json").write_text(json.dumps([entry | {"issuer": ISSUER} for entry in entries]))
    return file


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    code = cli.main(("link", *arguments))
    captured = capsys.readouterr()
    assert code in (0, 1, 3), captured.err
    return captured.out, captured.err


def commands_in(script: str) -> list[list[str]]:
    """Return the commands of az in a script, those in comments and in substitutions too."""
    lines = script.replace("\\\n#", "").replace("\\\n", "").splitlines()
    found = []
    for line in lines:
        command = line.lstrip("# ")
        if command.startswith(("ID=$(", "CLIENT_ID=$(")):
            command = command.partition("$(")[2].partition(" |")[0]
        if command.startswith("az "):
            words = shlex.split(command.removesuffix("||").replace("2>/dev/null", ""))
            found.append(words[1:])
    return found


def understood(tools: Path, commands: Sequence[list[str]], home: Path) -> list[dict[str, Any]]:
    lines = "".join(f"{json.dumps(command)}\n" for command in commands)
    done = subprocess.run(
        [tools / "python", PARSER],
        input=lines,
        env={"HOME": str(home), "PATH": "/usr/bin:/bin", "AZURE_CORE_COLLECT_TELEMETRY": "no"},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return list(json.loads(done.stdout.splitlines()[-1]))


def test_az_understands_each_command(
    capsys: pytest.CaptureFixture[str], tools: Path, listed: Path, tmp_path: Path
) -> None:
    six = [argument for name in "abcdef" for argument in ("--astro", name)]
    texts = [
        printed(capsys, *IDENTITY, *SUBSCRIPTION, *WORKLOADS)[0],
        printed(capsys, *IDENTITY, *WORKLOADS, "--check", str(listed))[0],
        *printed(capsys, *APPLICATION, *WORKLOADS),
        printed(capsys, *APPLICATION, *WORKLOADS, "--check", str(listed))[0],
        printed(capsys, *IDENTITY, "--astro", "orbit-1", *BINDING)[0],
        printed(capsys, *IDENTITY, "--issuer", ISSUER, *six)[1],
    ]
    commands = [command for text in texts for command in commands_in(text)]
    found = understood(tools, commands, tmp_path)
    assert {each["command"] for each in found} == {
        "identity federated-credential create",
        "identity federated-credential delete",
        "identity create",
        "identity show",
        "ad app federated-credential create",
        "ad app federated-credential update",
        "ad app federated-credential delete",
        "ad app federated-credential show",
        "ad sp create",
        "login",
        "aks identity-binding create",
    }
    created = [each for each in found if each["command"] == "identity federated-credential create"]
    assert created[0]["issuer"] == ISSUER
    assert created[0]["subject"] == "system:serviceaccount:orbit-1:orbit-1-scheduler-serviceaccount"
    assert created[0]["resource_group"] == "-data.(1)"
    assert '-it\'s $(a) "workload"' in [each["subject"] for each in created]


def commands_of_the_documentation() -> list[list[str]]:
    """Return the commands of az in the blocks of every page, those in substitutions too."""
    found = []
    for page in [ROOT / "README.md", ROOT / "examples" / "astro" / "README.md", *PAGES]:
        scripts = [block.code.replace("\\\n", " ") for block in blocks_of(page) if block.language == "bash"]
        while scripts:
            script = scripts.pop()
            scripts += re.findall(r"\$\(([^()]*)\)", script)
            script = re.sub(r"\$\([^()]*\)", "VALUE", script)
            words = shlex.shlex(script, posix=True, punctuation_chars="|&;<>\n")
            words.whitespace, words.whitespace_split = " \t", True
            command: list[str] = []
            for word in [*words, ";"]:
                if not set(word) <= set("|&;<>\n"):
                    command.append(word)
                    continue
                command = command[1:] if command[:1] in (["do"], ["then"]) else command
                found += [command[1:]] if command[:1] == ["az"] and command[1:] not in found else []
                command = []
    return found


def test_az_understands_each_command_of_the_documentation(tools: Path, tmp_path: Path) -> None:
    commands = commands_of_the_documentation()
    assert len(understood(tools, commands, tmp_path)) == len(commands) > 50


@pytest.mark.parametrize("arguments", [(*IDENTITY, *SUBSCRIPTION), (*APPLICATION,)], ids=["identity", "application"])
@pytest.mark.parametrize("is_compared", [False, True])
def test_terraform_reads_what_was_meant(
    capsys: pytest.CaptureFixture[str],
    tools: Path,
    listed: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    is_compared: bool,
) -> None:
    check = ("--check", str(listed)) if is_compared else ()
    text = printed(capsys, *arguments, *WORKLOADS, "--format", "terraform", *check)[0]
    (file := tmp_path / "link.tf").write_text(text)
    done = subprocess.run([tools / "hcl2tojson", file], capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)
    blocks = [values for resource in read["resource"] for labels in resource.values() for values in labels.values()]
    subjects = [unquoted(values["subject"]) for values in blocks]
    assert len(subjects) == 5
    assert '-it\'s $(a) "workload"' in subjects
    assert len(read.get("import", [])) == (2 if is_compared else 0)


def test_terraform_reads_the_module_and_the_page_gives_it_what_it_wants(tools: Path, tmp_path: Path) -> None:
    module = ROOT / "examples" / "terraform"
    [block] = [each for each in blocks_of(DOCS / "how-to/terraform.md") if each.language == "terraform"]
    (page := tmp_path / "page.tf").write_text(block.code)
    read = {}
    for file in [*module.glob("*.tf"), page]:
        done = subprocess.run([tools / "hcl2tojson", file], capture_output=True, text=True, check=False, timeout=100)
        assert done.returncode == 0, f"{file}: {done.stderr}"
        read[file.stem] = json.loads(done.stdout)
    variables = {unquoted(name): its for each in read["variables"]["variable"] for name, its in each.items()}
    assert set(variables) == set(re.findall(r"\bvar\.(\w+)", (module / "main.tf").read_text()))
    [[given]] = [each.values() for each in read["page"]["module"]]
    assert {name for name, its in variables.items() if "default" not in its} <= set(given)
    assert {name for name in given if not name.startswith("__")} - {"source"} <= set(variables)
    outputs = {unquoted(name) for each in read["outputs"]["output"] for name in each}
    assert outputs >= {"client_id", "tenant_id"}


def unquoted(literal: str) -> str:
    """Return the value of a literal as hcl2tojson shows it, with its quotation marks or without."""
    return str(json.loads(literal)) if literal.startswith('"') else literal


@pytest.mark.parametrize(
    "arguments",
    [
        (*IDENTITY, *WORKLOADS),
        (*APPLICATION, *WORKLOADS),
        (*IDENTITY, "--astro", "orbit-1", *BINDING),
    ],
    ids=["identity", "application", "binding"],
)
def test_shellcheck_finds_nothing(
    capsys: pytest.CaptureFixture[str], shellcheck: str, arguments: Sequence[str]
) -> None:
    script = printed(capsys, *arguments)[0]
    # SC2016 warns of what is meant: `$(a)` in single quotes stays as it is.
    done = subprocess.run(
        [shellcheck, "--shell=sh", "--exclude=SC2016", "-"],
        input=script,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout


def test_shellcheck_finds_nothing_in_the_changes(
    capsys: pytest.CaptureFixture[str], shellcheck: str, listed: Path
) -> None:
    test_shellcheck_finds_nothing(capsys, shellcheck, (*IDENTITY, *WORKLOADS, "--check", str(listed)))
