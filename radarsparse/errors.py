"""The one error type for what a user can mend: every tool turns it into exit status 2."""


class InputError(ValueError):
    """Input that can't be used; the message names the thing, the value and the bound."""

    def __str__(self) -> str:
        return printable(super().__str__())


EXIT_INPUT_ERROR = 2
"""Status of a process that ends by it."""


def printable(text: str) -> str:
    """A text in one line: what doesn't print, such as in names of files, is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
