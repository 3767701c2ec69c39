"""`python -m lookstream`: the command line, also in a folder with modules of our packages' names.

`python -m` searches the working directory first: this process is replaced by one that does not.
"""

import os
import sys

os.execv(sys.executable, [sys.executable, "-P", "-m", "workers.cli", *sys.argv[1:]])  # noqa: S606
