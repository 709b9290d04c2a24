"""What can go wrong by a user's hand."""

from __future__ import annotations


class UserError(Exception):
    """A user's mistake, told in one line: the file or key, the rule, the value, the way out.

    The command line prints it on stderr and ends with status 2, having changed nothing.
    """


class InvalidSequence(UserError):
    """A sequence that departs from contract 1.

    Parameters
    ----------
    source
        The file or object that is refused.
    rule
        The rule it breaks, as a short machine-readable word (``unsorted_times``).
    detail
        The value found and what was expected, in words.
    """

    def __init__(self, source: str, rule: str, detail: str) -> None:
        super().__init__(f"{source}: {rule}: {detail}")
        self.source = source
        self.rule = rule
        self.detail = detail
