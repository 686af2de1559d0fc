"""`python -m ddpm_lib`: the command line of notebooks/98_command_line.ipynb."""

from ddpm_lib.cli import main

if __name__ == "__main__":  # not where a worker process imports this file again
    main()
