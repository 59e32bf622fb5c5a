# syntax=docker/dockerfile:1
# One target per process, for linux/amd64 and linux/arm64:
#   docker build --target operator        -t autoglm/operator:0.1.0 .
#   docker build --target ingester        -t autoglm/ingester:0.1.0 .     the same image with the other role
#   docker build --target edge-agent      -t autoglm/edge-agent:0.1.0 .
#   docker build --target edge-agent-cuda -t autoglm/edge-agent-cuda:0.1.0 .     amd64 alone
#   docker build --target models          -t autoglm/models:0.1.0 .       the sample models, for the chart's ingester.modelsImage
# Both platforms: docker buildx build --platform linux/amd64,linux/arm64 …; nothing is emulated but the two copies of Node.
# glibc everywhere: ONNX Runtime does not load on musl. Base images are arguments, for mirrors.

ARG NODE_IMAGE=node:24-bookworm-slim
ARG RUNTIME_IMAGE=gcr.io/distroless/nodejs24-debian13:nonroot
ARG CUDA_IMAGE=nvidia/cuda:12.9.1-cudnn-runtime-ubuntu24.04
ARG PYTHON_IMAGE=python:3.12-slim-bookworm
ARG COPY_IMAGE=busybox:1.37-musl

# --- dependencies and bundles: the same for every platform ----------------------------------------------------------
FROM --platform=$BUILDPLATFORM ${NODE_IMAGE} AS build
WORKDIR /src
# Its install script fetches CUDA files for whatever machine it runs on.
ENV ONNXRUNTIME_NODE_INSTALL=skip
COPY package.json package-lock.json .npmrc ./
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
RUN node hack/build.ts --only operator --only edge-agent

# ONNX Runtime, and sharp, which decodes images in inference processes, for the target alone: sharp's binaries for each
# platform are packages of their own. No default for TARGETARCH: it would win over the builder's value.
FROM build AS onnxruntime
ARG TARGETARCH
RUN set -eu; \
    case "${TARGETARCH:?build with BuildKit or buildah}" in amd64) arch=x64 ;; arm64) arch=arm64 ;; *) echo "unsupported: $TARGETARCH" >&2; exit 1 ;; esac; \
    from=node_modules/onnxruntime-node; to=/out/$from; \
    mkdir -p "$to/bin/napi-v6/linux"; \
    cp -r node_modules/onnxruntime-common /out/node_modules/; \
    cp -r "$from/package.json" "$from/dist" "$to/"; \
    cp -r "$from/bin/napi-v6/linux/$arch" "$to/bin/napi-v6/linux/"; \
    sharp=$(mktemp -d); \
    npm install --prefix "$sharp" --ignore-scripts --no-fund --no-audit --loglevel=error --os=linux --libc=glibc --cpu="$arch" \
        "sharp@$(node -p "require('./node_modules/sharp/package.json').version")"; \
    cp -r "$sharp/node_modules/." /out/node_modules/; rm -rf "$sharp" /out/node_modules/.package-lock.json

# --- operator and ingester ------------------------------------------------------------------------------------------
FROM ${RUNTIME_IMAGE} AS operator
LABEL org.opencontainers.image.title="autoglm-operator" org.opencontainers.image.licenses="Apache-2.0"
ENV NODE_ENV=production AUTOGLM_ROLE=operator
COPY --from=build /src/dist/operator /app
USER 65532:65532
WORKDIR /app
ENTRYPOINT ["/nodejs/bin/node", "/app/main.js"]

FROM operator AS ingester
LABEL org.opencontainers.image.title="autoglm-ingester"
ENV AUTOGLM_ROLE=ingester

# --- edge agent -----------------------------------------------------------------------------------------------------
FROM ${RUNTIME_IMAGE} AS edge-agent
LABEL org.opencontainers.image.title="autoglm-edge-agent" org.opencontainers.image.licenses="Apache-2.0"
ENV NODE_ENV=production
COPY --from=onnxruntime /out/node_modules /app/node_modules
COPY --from=build /src/dist/edge-agent /app
USER 65532:65532
WORKDIR /app
ENTRYPOINT ["/nodejs/bin/node", "/app/main.js"]

# ONNX Runtime publishes the CUDA provider for x64 alone; elsewhere its script refuses.
FROM onnxruntime AS onnxruntime-cuda
RUN ONNXRUNTIME_NODE_INSTALL=cuda12 node node_modules/onnxruntime-node/script/install.js \
    && cp -r node_modules/onnxruntime-node/bin/napi-v6/linux/x64 /out/node_modules/onnxruntime-node/bin/napi-v6/linux/

FROM ${NODE_IMAGE} AS node

FROM ${CUDA_IMAGE} AS edge-agent-cuda
LABEL org.opencontainers.image.title="autoglm-edge-agent-cuda" org.opencontainers.image.licenses="Apache-2.0"
ENV NODE_ENV=production AUTOGLM_EXECUTION_PROVIDERS=cuda,cpu
# Where distroless has it: the chart starts both images alike.
COPY --from=node /usr/local/bin/node /nodejs/bin/node
COPY --from=onnxruntime-cuda /out/node_modules /app/node_modules
COPY --from=build /src/dist/edge-agent /app
USER 65532:65532
WORKDIR /app
ENTRYPOINT ["/nodejs/bin/node", "/app/main.js"]

# --- sample models: the same bytes on every platform ----------------------------------------------------------------
FROM --platform=$BUILDPLATFORM ${PYTHON_IMAGE} AS models-build
WORKDIR /src
ENV AUTOGLM_CACHE=/cache
COPY models models
RUN models/build all

FROM ${COPY_IMAGE} AS models
LABEL org.opencontainers.image.title="autoglm-models"
COPY --from=models-build /cache/models/blobs/sha256 /models
USER 65532:65532
# What the ingester's volume lacks. Renamed when it is whole: a copy that is cut off must not pass for the file.
CMD ["sh", "-euc", "mkdir -p /store/blobs/sha256; cd /models; for f in *; do to=/store/blobs/sha256/$f; [ -e $to ] || { cp $f $to.part; mv $to.part $to; }; done"]
