"""The command `radarsparse enhance` as a script."""

from radarsparse.cli import run
from radarsparse.commands.enhance import COMMAND

if __name__ == "__main__":
    run(COMMAND)
