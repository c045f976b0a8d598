"""The pages of the site, and the code blocks in them."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))

_BLOCK = re.compile(
    r"(?ms)(?:^ *<!-- (?P<comment>[^>]*?) -->\n)?^(?P<indent> *)```(?P<language>[^\n`]*)\n(?P<code>.*?)^ *```$"
)
_NOT_RUN = re.compile(r"not run: (\S.{9,})", re.DOTALL)
_EXIT_CODE = re.compile(r"exits with (\d): \S.{9,}", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A code block, with what the comment right before it says."""

    where: str
    language: str
    code: str
    comment: str

    @property
    def reason_not_to_run(self) -> str | None:
        found = _NOT_RUN.fullmatch(self.comment)
        return found.group(1) if found else None

    @property
    def exit_code(self) -> int:
        found = _EXIT_CODE.fullmatch(self.comment)
        return int(found.group(1)) if found else 0


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    blocks = []
    for found in _BLOCK.finditer(text):
        if found["language"].startswith("{"):  # what MyST itself does, such as {toctree}
            continue
        line = text.count("\n", 0, found.start("indent")) + 1
        code = re.sub(r"(?m)^" + found["indent"], "", found["code"])
        blocks.append(Block(f"{page.relative_to(ROOT)}:{line}", found["language"], code, found["comment"] or ""))
    return blocks
