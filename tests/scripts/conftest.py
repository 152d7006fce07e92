"""Lets the tests import the scripts beside which they stand."""

import sys

from repository import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
