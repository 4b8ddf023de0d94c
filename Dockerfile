# An image of queuectl, for workers and for the command line: docker build --tag queuectl .
#   docker run --init --rm --env QUEUECTL_DATABASE_URL=postgresql://… queuectl worker start --foreground
# Commands run inside the container: build your own image `FROM queuectl` with the programs that yours need.

FROM python:3.13-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY src src
# A directory to copy as a whole: neither pip's cache nor the source get into the image that runs.
RUN python -m venv /opt/queuectl && /opt/queuectl/bin/pip install --no-cache-dir .

FROM python:3.13-slim
# Jobs run with the rights of their worker: not with root's. A fixed number, so that the owner of files on volumes is known.
RUN useradd --create-home --uid 10001 queuectl
COPY --from=build /opt/queuectl /opt/queuectl
ENV PATH=/opt/queuectl/bin:$PATH
USER queuectl
# `enqueue` notes the directory that it is called in, and the worker runs the command there: the same in every container.
WORKDIR /home/queuectl
# As a list: a shell in between would keep the engine's SIGTERM from the supervisor, which stops gracefully on it.
ENTRYPOINT ["queuectl"]
CMD ["--help"]
