"""No tracked text has the words and turns of phrase that read as if translated; each has a plain one, on the right."""

import re
import subprocess
from pathlib import Path

from tests.docs.pages import ROOT

WORDS = {
    r"mend(s|ed|ing)?": "fix",
    r"proofs?": "federated token, client assertion, evidence",
    r"(had|read) afresh": "fetched for each exchange, read again",
    r"goes before \S+, and is another": "overrides, which differs",
    r"the deployment's to (say|name)": "is set by the deployment",
    r"nobody but": "only",
    r"signs? in as nobody": "refuses to sign in",
    r"nobody signed in": "no sign-in was made",
    r"ha(s|ve|d) a failure of (its|their) own": "returned a server error",
    r"ask(s|ed)? for fewer requests": "throttled the request",
    r"that is no token response": "an invalid token response",
    r"that opens TLS": "a TLS-inspecting proxy",
    r"knows? no": "does not support, has no",
    r"who shall sign in": "no valid identity is configured",
    r"not asked for, as the hop before": "skipped: sign-in as the managed identity failed",
    r"superfluous(ly)?": "extra, not needed",
    r"as messages (shall )?name (it|them)": "the name used in messages",
    r"shall": "must, has to",
    r"weakness(es)?": "vulnerability",
    r"in ways of (its|their) own": "on its own network path",
    r"all is (still )?well": "success",
    r"you have a task": "how to",
    r"anew": "again",
    r"for ever": "forever",
    r"spoken": "format_duration, mentioned",
    r"_fly": "_run",
    r"_land": "_finish",
}
# Names, which mean something else in prose.
NAMES = {
    r"flight\s*[=.(]": "pending",
    r"(told|described)\(": "summary(), describe_claims()",
}

# What is between two words of a phrase: a line break with the margin of a comment, a quotation or an indented block,
# the end and the beginning of adjacent strings, or the underscore of a name.
_GAP = r"(?:[\s_#>*\\]|\"\s*f?\")+"
_FOUND = {
    re.compile(rf"(?<![^\W_]){pattern.replace(' ', _GAP)}(?![^\W_])", re.IGNORECASE): better
    for pattern, better in WORDS.items()
} | {re.compile(rf"(?<!\w){pattern}"): better for pattern, better in NAMES.items()}


def tracked_texts() -> list[Path]:
    """Return what is tracked and is text that this project wrote."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [ROOT / name for name in listed.split("\0") if name]
    return [
        path
        for path in paths
        if path.is_file()
        and path != Path(__file__)
        and (path.suffix in {".py", ".md", ".toml", ".html", ".cfg", ".sh"} or path.parts[-2] in {"dev", ".ci"})
    ]


def found_in(text: str) -> list[str]:
    """Return the line, the words and what to write instead, for each of them in a text."""
    return [
        f"{text.count(chr(10), 0, found.start()) + 1}: {' '.join(found[0].split())!r}, better {better!r}"
        for pattern, better in _FOUND.items()
        for found in pattern.finditer(text)
    ]


def test_words_are_found_across_lines_and_in_capitals() -> None:
    assert [found.partition(":")[0] for found in found_in("Fine.\n# Nobody\n# but one\n")] == ["2"]
    assert found_in('"it is for nobody "\n    f"but one"')
    assert found_in("def test_nobody_but_root() -> None:")
    assert not found_in("recommend, waterproof, Marshall")


def test_no_text_has_them() -> None:
    texts = tracked_texts()
    assert len(texts) > 200
    found = [
        f"{path.relative_to(ROOT)}:{each}" for path in texts for each in found_in(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)
