# syntax=docker/dockerfile:1
# One image for the launcher and the workers of the Flex Templates:
#
#     docker build --build-arg IMAGE=NAME --tag NAME .
#
# docs/dataflow.md describes the arguments. To pin a base harder, give its digest, as in
# --build-arg PYTHON_IMAGE=python@sha256:...
ARG PYTHON_IMAGE=python:3.11.13-slim-bookworm
# Beam's version is the one in the lock.
ARG BEAM_IMAGE=apache/beam_python3.11_sdk:2.77.0
ARG LAUNCHER_IMAGE=gcr.io/dataflow-templates-base/python311-template-launcher-base:20240812-rc01

FROM ${BEAM_IMAGE} AS beam

FROM ${LAUNCHER_IMAGE} AS launcher

FROM ${PYTHON_IMAGE} AS dependencies
# requirements.txt, or requirements-gpu.txt with CUDA's libraries.
ARG LOCK=requirements.txt
COPY ${LOCK} /template/lock.txt
# The Makefile's version, which installs a lock five times as fast as pip does. The image does not keep it.
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=cache,target=/root/.cache/uv \
    python -m pip install uv==0.13.9 \
    && UV_LINK_MODE=copy python -m uv pip install --python "$(command -v python)" \
        --require-hashes --requirement /template/lock.txt \
    && python -m pip uninstall --yes uv \
    && python -m pip check

FROM dependencies AS model
# A catalogue name, a TF-Hub handle, or a directory under models/ here.
ARG MODEL=bert_wiki_books_sst2
ENV EMBEDDING_MODELS=/models TFHUB_CACHE_DIR=/models/tfhub
WORKDIR /source
RUN --mount=type=bind,target=/source \
    --mount=type=cache,target=/root/.cache/pip \
    python -m templates.bake_model "${MODEL}"

FROM dependencies
COPY --from=beam /opt/apache/beam /opt/apache/beam
COPY --from=launcher /opt/google/dataflow/python_template_launcher /opt/google/dataflow/python_template_launcher
COPY --from=model /models /models
WORKDIR /source
RUN --mount=type=bind,target=/source,rw \
    python -m pip install --no-cache-dir --no-deps --no-build-isolation /source \
    && python -m pip check
COPY templates/launcher.py /template/launcher.py
# Each micro-batch runs on one core, which is faster than one at a time on all cores; matmuls are faster with oneDNN.
ENV TF_NUM_INTRAOP_THREADS=1 \
    TF_ENABLE_ONEDNN_OPTS=1
# No variable names a requirements or setup file, because the launcher would run `pip download` for it.
ENV FLEX_TEMPLATE_PYTHON_PY_FILE=/template/launcher.py \
    EMBEDDING_MODELS=/models \
    TFHUB_CACHE_DIR=/models/tfhub \
    # Everything is installed, so the workers' boot program makes no environment of its own.
    RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1 \
    # Where Dataflow puts a GPU's driver.
    LD_LIBRARY_PATH=/usr/local/nvidia/lib64
# The name under which the image is pushed; workers run it.
ARG IMAGE=""
ENV SDK_CONTAINER_IMAGE=${IMAGE}
WORKDIR /template
# It runs as root: Dataflow mounts root's /var/opt/google, and its launcher writes to /var/log.
ENTRYPOINT ["/opt/apache/beam/boot"]
