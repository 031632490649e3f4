"""The command `radarsparse adapt` as a script."""

from radarsparse.cli import run
from radarsparse.commands.adapt import COMMAND

if __name__ == "__main__":
    run(COMMAND)
