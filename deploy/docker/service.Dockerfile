# The image of every service. Needs BuildKit, with the repository's root as context; docker-compose.yml passes the arguments
# from services/*/pyproject.toml. GPU=1: ONNX Runtime with CUDA instead of the CPU version (plate-ocr).
#
# CUDA and cuDNN are installed as NVIDIA's wheels, pinned by hash, and not from an nvidia/cuda base image, whose Python versions differ.
# The driver's libraries come from the host (NVIDIA container toolkit).
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG SERVICE
ARG GPU=
ENV UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
WORKDIR /app
COPY scripts/setup-uv scripts/
RUN --mount=type=cache,target=/root/.cache scripts/setup-uv
# The dependencies first, from the lock file only, so that this layer stays cached when the code changes.
COPY pyproject.toml uv.lock ./
COPY proto/pyproject.toml proto/
COPY libs/kit/pyproject.toml libs/kit/
COPY services/${SERVICE}/pyproject.toml services/${SERVICE}/
RUN --mount=type=cache,target=/root/.cache \
    $(scripts/setup-uv) sync --frozen --no-dev --no-install-workspace ${GPU:+--no-install-package onnxruntime} \
    --package "lookout-$SERVICE"
COPY services/${SERVICE}/*requirements.txt services/${SERVICE}/pyproject.toml services/${SERVICE}/
# onnxruntime and onnxruntime-gpu install the same module, so only one may be installed, and their versions must agree.
RUN --mount=type=cache,target=/root/.cache \
    if [ -n "$GPU" ]; then \
        locked=$(sed -n '/^name = "onnxruntime"$/{n;s/^version = "\(.*\)"$/\1/p}' uv.lock); \
        grep -q "^onnxruntime-gpu==$locked " "services/$SERVICE/gpu-requirements.txt" \
        || { echo "gpu-requirements.txt does not have the onnxruntime version of uv.lock ($locked); run services/$SERVICE/gpu-lock" >&2; exit 1; }; \
        $(scripts/setup-uv) pip install --no-deps --require-hashes -r "services/$SERVICE/gpu-requirements.txt"; \
    fi
COPY proto/src proto/src
COPY libs/kit/src libs/kit/src
COPY services/${SERVICE}/src services/${SERVICE}/src
# No cache here: uv identifies a local package by its pyproject.toml alone and would install an older build of it.
RUN $(scripts/setup-uv) sync --frozen --no-dev --no-editable --no-cache ${GPU:+--inexact --no-install-package onnxruntime} \
    --package "lookout-$SERVICE"
# CUDA and cuDNN of the wheels, under a path without the Python version.
RUN [ -z "$GPU" ] || ln -s "$(echo /app/.venv/lib/python3.*/site-packages/nvidia)" .venv/nvidia

FROM ${PYTHON_IMAGE}
# A numeric user, which Kubernetes can check for runAsNonRoot; it owns no file of the image.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin lookout
COPY --from=build /app/.venv /app/.venv
ARG SERVICE
ARG PACKAGE
ARG HTTP_PORT
ARG PORTS=${HTTP_PORT}
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    LOOKOUT_PACKAGE=${PACKAGE} LOOKOUT_HEALTH_PORT=${HTTP_PORT}
WORKDIR /app
USER 10001:10001
EXPOSE ${PORTS}
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 CMD ["python", "-c", \
    "import http.client as h, os; c = h.HTTPConnection('127.0.0.1', int(os.environ['LOOKOUT_HEALTH_PORT']), timeout=4); c.request('GET', '/health/live'); raise SystemExit(c.getresponse().status != 200)"]
# exec: the service is process 1 and receives the signals.
ENTRYPOINT ["/bin/sh", "-c", "exec python -m \"$LOOKOUT_PACKAGE\" \"$@\"", "service"]
CMD ["serve"]
ARG DESCRIPTION= VERSION=dev REVISION=unknown
LABEL org.opencontainers.image.title="lookout-${SERVICE}" \
      org.opencontainers.image.description="${DESCRIPTION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
