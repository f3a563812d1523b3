"""What an import leaves out is there when it is asked for. In processes of their own, since these have all loaded."""

import subprocess
import sys

LATER = """
import sys
from raysim.training.libraries import load_transformers
load_transformers()
assert not [name for name in sys.modules if name.startswith("scipy")]
from transformers.loss.loss_for_object_detection import linear_sum_assignment
rows, columns = linear_sum_assignment([[1, 2], [3, 1]])
assert (rows.tolist(), columns.tolist()) == ([0, 1], [0, 1])
import scipy.optimize
assert scipy.optimize.linear_sum_assignment.__module__.startswith("scipy")
"""

BEFORE = """
import scipy.optimize
from raysim.training.libraries import load_transformers
load_transformers()
from transformers.loss import loss_for_object_detection
assert loss_for_object_detection.linear_sum_assignment is scipy.optimize.linear_sum_assignment
"""


def test_scipy_is_imported_when_it_computes() -> None:
    subprocess.run([sys.executable, "-c", LATER], check=True)


def test_scipy_that_is_there_stays() -> None:
    subprocess.run([sys.executable, "-c", BEFORE], check=True)
