"""The command `radarsparse weights` as a script."""

from radarsparse.cli import run
from radarsparse.commands.weights import COMMAND

if __name__ == "__main__":
    run(COMMAND)
