"""The documentation says what the program says."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_command_reference_is_that_of_the_program() -> None:
    script = runpy.run_path(str(ROOT / "dev" / "command-reference"))
    written = (ROOT / "docs" / "command-line.md").read_text()
    assert script["page"]() == written, "run dev/command-reference"
