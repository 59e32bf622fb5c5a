# syntax=docker/dockerfile:1
# One target per process:
#   docker build --target operator   -t autoglm/operator .      operator and ingester (AUTOGLM_ROLE chooses)
#   docker build --target edge-agent -t autoglm/edge-agent .    CPU
#   docker build --target edge-agent-cuda …                     CUDA execution provider
#   docker build --target models     -t autoglm/models .        the sample models, for the chart's ingester.modelsImage
# glibc everywhere: ONNX Runtime does not load on musl. Base images are arguments, for mirrors.

ARG NODE_IMAGE=node:24-bookworm-slim
ARG RUNTIME_IMAGE=gcr.io/distroless/nodejs24-debian13:nonroot
ARG CUDA_IMAGE=nvidia/cuda:12.9.1-cudnn-runtime-ubuntu24.04
ARG PYTHON_IMAGE=python:3.12-slim-bookworm

# --- dependencies and bundles -------------------------------------------------------------------------------------
FROM ${NODE_IMAGE} AS build
WORKDIR /src
ENV ONNXRUNTIME_NODE_INSTALL=skip
COPY package.json package-lock.json ./
COPY api/package.json api/
COPY core/package.json core/
COPY telemetry/package.json telemetry/
COPY kube/package.json kube/
COPY bus/package.json bus/
COPY operator/package.json operator/
COPY edge-agent/package.json edge-agent/
COPY cli/package.json cli/
RUN --mount=type=cache,target=/root/.npm npm ci --ignore-scripts --no-fund --no-audit
COPY . .
RUN node hack/build.ts

# ONNX Runtime for this platform alone: 288 MB of all platforms become 45 MB (x64) or 25 MB (arm64).
FROM build AS onnxruntime
ARG TARGETARCH=amd64
RUN set -eu; \
    case "$TARGETARCH" in amd64) arch=x64 ;; arm64) arch=arm64 ;; *) echo "unsupported architecture: $TARGETARCH" >&2; exit 1 ;; esac; \
    mkdir -p /out/node_modules; \
    cp -r node_modules/onnxruntime-node node_modules/onnxruntime-common /out/node_modules/; \
    cd /out/node_modules/onnxruntime-node/bin/napi-v6; \
    find . -mindepth 1 -maxdepth 1 ! -name linux -exec rm -rf {} +; \
    find linux -mindepth 1 -maxdepth 1 ! -name "$arch" -exec rm -rf {} +

# --- operator and ingester ------------------------------------------------------------------------------------------
FROM ${RUNTIME_IMAGE} AS operator
LABEL org.opencontainers.image.title="autoglm-operator" org.opencontainers.image.licenses="Apache-2.0"
ENV NODE_ENV=production AUTOGLM_ROLE=operator
COPY --from=build --chown=65532:65532 /src/dist/operator /app
USER 65532:65532
WORKDIR /app
ENTRYPOINT ["/nodejs/bin/node", "/app/main.js"]

FROM operator AS ingester
ENV AUTOGLM_ROLE=ingester

# --- edge agent -----------------------------------------------------------------------------------------------------
FROM ${RUNTIME_IMAGE} AS edge-agent
LABEL org.opencontainers.image.title="autoglm-edge-agent" org.opencontainers.image.licenses="Apache-2.0"
ENV NODE_ENV=production
COPY --from=onnxruntime --chown=65532:65532 /out/node_modules /app/node_modules
COPY --from=build --chown=65532:65532 /src/dist/edge-agent /app
USER 65532:65532
WORKDIR /app
ENTRYPOINT ["/nodejs/bin/node", "/app/main.js"]

# The CUDA provider's libraries come from ONNX Runtime's own install step.
FROM build AS onnxruntime-cuda
RUN ONNXRUNTIME_NODE_INSTALL=cuda12 npm rebuild onnxruntime-node --foreground-scripts \
    && mkdir -p /out/node_modules && cp -r node_modules/onnxruntime-node node_modules/onnxruntime-common /out/node_modules/

FROM ${CUDA_IMAGE} AS edge-agent-cuda
LABEL org.opencontainers.image.title="autoglm-edge-agent-cuda" org.opencontainers.image.licenses="Apache-2.0"
ENV NODE_ENV=production AUTOGLM_EXECUTION_PROVIDERS=cuda,cpu
COPY --from=build /usr/local/bin/node /usr/local/bin/node
COPY --from=onnxruntime-cuda --chown=65532:65532 /out/node_modules /app/node_modules
COPY --from=build --chown=65532:65532 /src/dist/edge-agent /app
USER 65532:65532
WORKDIR /app
ENTRYPOINT ["node", "/app/main.js"]

# --- sample models --------------------------------------------------------------------------------------------------
FROM ${PYTHON_IMAGE} AS models-build
WORKDIR /src
ENV AUTOGLM_CACHE=/cache
COPY models models
RUN models/build demo

FROM busybox:1.37-musl AS models
COPY --from=models-build --chown=65532:65532 /cache/models/blobs /models/blobs
USER 65532:65532
# The ingester's init container copies what its volume lacks.
CMD ["cp", "-rn", "/models/blobs", "/store/"]
