"""The command `radarsparse eval` as a script."""

from radarsparse.cli import run
from radarsparse.commands.eval import COMMAND

if __name__ == "__main__":
    run(COMMAND)
