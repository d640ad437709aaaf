"""Print the physics figures of `ptycho bench` alone: python scripts/benchmarks/physics_bench.py"""

import json
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main() -> None:
    from ptycho.studies.bench import machine, measure_physics

    print(json.dumps({**measure_physics(), "machine": machine()}, indent=2))


if __name__ == "__main__":
    main()
