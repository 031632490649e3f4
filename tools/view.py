"""Look at radar, enhanced and LiDAR clouds: in a window, in a browser, as a picture or a film."""

from radarsparse.cli import run
from radarsparse.commands.view import COMMAND

if __name__ == "__main__":
    run(COMMAND)
