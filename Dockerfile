# syntax=docker/dockerfile:1
# kerasgrid with the versions of constraints.txt, as docs/guides/install.md uses it. For CPUs, unless it is built with
#   --build-arg PACKAGE=tensorflow                                   for CPUs that are ARM's, as on Macs
#   --build-arg PACKAGE='tensorflow[and-cuda]'                       for NVIDIA's GPUs
#   --build-arg PACKAGE='jax[cuda13]' --build-arg BACKEND=jax        the same, on JAX
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
RUN apt-get update && apt-get install --yes --no-install-recommends git && rm -rf /var/lib/apt/lists/*
COPY . /source
RUN pip wheel --no-deps --wheel-dir /wheels /source

FROM python:${PYTHON}-slim
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
# The backend is a layer of its own, which stays as it is while kerasgrid changes.
ARG PACKAGE=tensorflow-cpu
COPY constraints.txt /opt/kerasgrid/constraints.txt
RUN sed -i 's/^tensorflow\(==.*\)/&\ntensorflow-cpu\1/' /opt/kerasgrid/constraints.txt \
    && pip install --constraint /opt/kerasgrid/constraints.txt "$PACKAGE"
ARG EXTRAS=
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --constraint /opt/kerasgrid/constraints.txt "$(echo /wheels/*.whl)${EXTRAS:+[$EXTRAS]}"
# Whoever runs it gives their own id, so that results are theirs: it has no name here, and this home.
RUN useradd --uid 1000 --create-home kerasgrid && chmod 1777 /home/kerasgrid
ARG BACKEND=tensorflow
ENV KERAS_BACKEND=${BACKEND} HOME=/home/kerasgrid
USER 1000
WORKDIR /work
ENTRYPOINT ["kerasgrid"]
CMD ["--help"]
