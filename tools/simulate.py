"""The command `radarsparse simulate` as a script."""

from radarsparse.cli import run
from radarsparse.commands.simulate import COMMAND

if __name__ == "__main__":
    run(COMMAND)
