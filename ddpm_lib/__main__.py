"""`python -m ddpm_lib`: the command line of notebooks/98_command_line.ipynb."""

if __name__ == "__main__":  # not where a worker process imports this file again
    import time

    start = time.perf_counter()  # torch, below, takes seconds to import

    from ddpm_lib.cli import main

    main(start=start)
