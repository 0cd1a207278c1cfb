"""Pages on the terminal of `midwatch serve`: to try things out, and for whoever watches it.

Law: what a page says came from outside; control characters in it are shown, never obeyed.
"""

from __future__ import annotations

import sys
from typing import TextIO

from midwatch.core.state.effects import SendPage
from midwatch.errors import HarnessError
from midwatch.texts import plain


class TerminalPager:
    """Prints a page."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out

    def send(self, page: SendPage) -> str:
        """Print one page in one write, so that pages do not run into each other.

        >>> page = SendPage("page/1", "INC-1", "ada", "sev1", "Down", "tier 1", "shop")
        >>> TerminalPager().send(page)
        PAGE sev1 INC-1 for ada: Down (shop)
          why: tier 1
          midwatch incidents ack INC-1
        'printed'
        """
        where = f" ({plain(page.service)})" if page.service else ""
        text = (
            f"PAGE {page.severity} {page.incident} for {plain(page.to)}: "
            f"{plain(page.title)}{where}\n"
            f"  why: {plain(page.summary)}\n"
            f"{''.join(f'  also: {plain(line)}' + chr(10) for line in page.also)}"
            f"  midwatch incidents ack {page.incident}\n"
        )
        out = self._out or sys.stdout
        try:
            out.write(text)
            out.flush()
        except (OSError, ValueError) as error:
            raise HarnessError(f"the terminal is closed: {error}") from None
        return "printed"
