"""The command `radarsparse prepare` as a script."""

from radarsparse.cli import run
from radarsparse.commands.prepare import COMMAND

if __name__ == "__main__":
    run(COMMAND)
