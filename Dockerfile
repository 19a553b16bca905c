# One image for the code server, the webserver and the daemon: they differ by their command.
#
#     docker build -t clinical-asr-flywheel .
#
# PIP_INDEX_URL and PIP_EXTRA_INDEX_URL are pip's own variables; give them no credentials, because an image's history
# shows its arguments. TORCH_INDEX is the index that torch alone comes from, as in the Makefile: without it a wheel that
# brings CUDA libraries of several GB.
# `--build-arg EXTRAS=deployment,kubernetes` makes the image for Kubernetes.

FROM python:3.11-slim-bookworm AS environment
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG TORCH_INDEX
ARG EXTRAS=deployment,modal
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
RUN python -m venv /opt/flywheel
# The same two commands as the Makefile's, from what changes least to what changes most. The packages of this
# project come last, as files, so that a change of theirs installs nothing again.
COPY constraints.txt ./
RUN /opt/flywheel/bin/pip install --constraint constraints.txt ${TORCH_INDEX:+--no-deps --index-url "$TORCH_INDEX"} torch==2.13.0
COPY pyproject.toml ./
RUN touch README.md \
    && mkdir assets flywheel resources \
    && /opt/flywheel/bin/pip install --constraint constraints.txt ".[${EXTRAS}]"

FROM python:3.11-slim-bookworm
# tini hands TERM on to every process of the container; ssh and rsync are the backend brev's; flite speaks the rows of
# the unseen engine.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates flite openssh-client rsync tini \
    && rm -rf /var/lib/apt/lists/*
# A fixed number, so that the files of a volume belong to the same user in the next image.
RUN groupadd --gid 10001 flywheel \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data/home --shell /usr/sbin/nologin flywheel \
    && install --directory --owner flywheel --group flywheel --mode 0750 /data /data/home /data/dagster
COPY --from=environment /opt/flywheel /opt/flywheel
COPY deploy/dagster.yaml deploy/workspace.yaml /opt/dagster/
COPY flywheel /opt/app/flywheel
COPY resources /opt/app/resources
COPY assets /opt/app/assets
# Compiled here: at run time nothing may be written there.
RUN /opt/flywheel/bin/python -m compileall -q /opt/app
ENV PATH=/opt/flywheel/bin:$PATH \
    PYTHONPATH=/opt/app \
    PYTHONUNBUFFERED=1 \
    DAGSTER_HOME=/opt/dagster \
    DAGSTER_FILES=/data/dagster \
    FLYWHEEL_DATA=/data \
    HOME=/data/home \
    MPLCONFIGDIR=/tmp/matplotlib \
    NUMBA_CACHE_DIR=/tmp/numba
WORKDIR /opt/app
VOLUME /data
USER 10001:10001
# -g: to the processes of the runs, too, so that they end what they rented before the container is killed.
ENTRYPOINT ["tini", "-g", "--"]
CMD ["python", "-m", "resources.deployment", "--host", "0.0.0.0", "--port", "4000", "--module-name", "assets.definitions"]
