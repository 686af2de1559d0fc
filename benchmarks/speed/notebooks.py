"""How long each notebook takes to run from top to bottom in a clean kernel: the last column of the README's table (`make badges`).

python -m benchmarks.speed.notebooks [NN ...]     (about ten minutes; on a machine that does nothing else)

Rows that are not measured anew are kept, so that it can be run in pieces on one machine.
"""

import argparse
import json
import time
from pathlib import Path

from benchmarks.speed.measure import command, load_average, machine, versions, write_json
from course.execute import execute
from course.lessons import RESULTS, notebooks


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("numbers", nargs="*", help="the beginnings of their names; all by default")
    parser.add_argument("--out", type=Path, default=RESULTS / "speed_notebooks.json")
    options = parser.parse_args()
    results = json.loads(options.out.read_text()) if options.out.exists() else {"seconds": {}}
    results |= {"command": command(), "machine": machine(), "versions": versions()}
    for path in notebooks():
        if path.name.startswith(tuple(options.numbers or [""])):
            start = time.perf_counter()
            execute(path)
            results["seconds"][path.stem] = round(time.perf_counter() - start)
            print(f"{path.stem}: {results['seconds'][path.stem]} s", flush=True)
            write_json(options.out, results | {"load_average": load_average()})


if __name__ == "__main__":
    main()
