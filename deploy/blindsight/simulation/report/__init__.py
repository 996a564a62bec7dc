"""The report of a simulated federation: values in, one self-contained HTML page out.

``values`` says what a report knows, ``page`` puts it together, ``words`` holds what is said about results and limits.
"""

from blindsight.simulation.report.page import render
from blindsight.simulation.report.values import Accuracy, Federation, Report, Round, Setup, Sheet

__all__ = ["Accuracy", "Federation", "Report", "Round", "Setup", "Sheet", "render"]
