"""The demo itself, which `dev/demo` runs in the environment that it made."""

import sys

sys.exit("The demo is not written yet.")
