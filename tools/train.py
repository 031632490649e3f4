"""The command `radarsparse train` as a script."""

from radarsparse.cli import run
from radarsparse.commands.train import COMMAND

if __name__ == "__main__":
    run(COMMAND)
