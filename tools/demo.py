"""The command `radarsparse demo` as a script."""

from radarsparse.cli import run
from radarsparse.commands.demo import COMMAND

if __name__ == "__main__":
    run(COMMAND)
