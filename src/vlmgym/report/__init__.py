"""Numbers to pages: one static page about evaluations and training runs.

:func:`write_report` reads folders (``contents``), writes a section for each subject (``headline``,
``results``, ``indices``, ``differences``, ``training``, ``faults``, ``turns``; charts by
``charts``, elements by ``html``), and puts them together (``page``).
"""

from vlmgym.report.page import write_report

__all__ = ["write_report"]
