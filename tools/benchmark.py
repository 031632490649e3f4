"""The command `radarsparse benchmark` as a script."""

from radarsparse.cli import run
from radarsparse.commands.benchmark import COMMAND

if __name__ == "__main__":
    run(COMMAND)
