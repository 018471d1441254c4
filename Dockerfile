# The service in a container: docker build --target cpu -t vitascope:VERSION-cpu .   (or --target cuda)
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS wheel
WORKDIR /build
RUN pip install --no-cache-dir build
COPY pyproject.toml README.md LICENSE napari.yaml ./
COPY src src
RUN python -m build --wheel -o dist .

FROM python:${PYTHON}-slim AS base
# as .ci/constraints.txt has it; all else by version and hash, in requirements.lock
ARG TORCH=2.13.0
COPY requirements.lock /
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /tmp vitascope \
    && mkdir /data /images && chown vitascope /data
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 VITASCOPE_CACHE=/data/cache VITASCOPE_MODELS=/data/models MPLCONFIGDIR=/tmp/matplotlib

# Processors: torch without CUDA. INDEX is a package index that offers such builds, where the default one has none.
FROM base AS cpu
ARG INDEX=""
ARG IMAGE="vitascope-cpu"
RUN --mount=from=wheel,source=/build/dist,target=/dist \
    pip install --no-cache-dir --no-deps --require-hashes -r /requirements.lock \
    && pip install --no-cache-dir ${INDEX:+--index-url "$INDEX"} "torch==$TORCH" \
    && pip install --no-cache-dir --no-deps /dist/*.whl
ENV VITASCOPE_IMAGE=${IMAGE}
USER 10001
VOLUME ["/data"]
EXPOSE 8765
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8765/health', timeout=4)"]
ENTRYPOINT ["vitascope"]
CMD ["serve", "--host", "0.0.0.0", "--token-file", "/tokens", "--root", "/images", "--data", "/data"]

# NVIDIA GPUs: torch from the default index brings CUDA's libraries; the host brings the driver.
FROM base AS cuda
ARG IMAGE="vitascope-cuda"
RUN --mount=from=wheel,source=/build/dist,target=/dist \
    pip install --no-cache-dir --no-deps --require-hashes -r /requirements.lock \
    && pip install --no-cache-dir "torch==$TORCH" \
    && pip install --no-cache-dir --no-deps /dist/*.whl
ENV VITASCOPE_IMAGE=${IMAGE} NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001
VOLUME ["/data"]
EXPOSE 8765
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8765/health', timeout=4)"]
ENTRYPOINT ["vitascope"]
CMD ["serve", "--host", "0.0.0.0", "--token-file", "/tokens", "--root", "/images", "--data", "/data"]
