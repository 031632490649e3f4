"""The command `radarsparse demo_train` as a script."""

from radarsparse.cli import run
from radarsparse.commands.demo_train import COMMAND

if __name__ == "__main__":
    run(COMMAND)
