"""HyperQueue's LocalCluster: one job of N tasks, started when the worker is ready. Prints the seconds it took."""

import os
import sys
import time
from pathlib import Path

from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig

if __name__ == "__main__":
    command, number, workers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    place = Path(os.environ["BENCHMARK_PLACE"])
    outputs = place / "outputs"
    outputs.mkdir()
    (place / "server").mkdir()
    with LocalCluster(str(place / "server")) as cluster:
        cluster.start_worker(WorkerConfig(cores=workers))
        job = Job()
        for task in range(number):
            out, err = (str(outputs / f"{task}.{which}") for which in ("out", "err"))
            job.program(["/bin/sh", "-c", command], stdout=out, stderr=err)
        client = cluster.client()
        begun = time.time()
        client.wait_for_jobs([client.submit(job)])
        # The client looks once a second: the last task began when its file was made.
        ended = max(path.stat().st_mtime for path in outputs.glob("*.out"))
        if len(list(outputs.glob("*.out"))) != number:
            sys.exit(f"of {number} commands only some have an output")
        print(ended - begun)
