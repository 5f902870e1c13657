# Three images from one file.
#   verify      small, CPU, neither torch nor Ray:   docker build --target verify -t ambiemo:verify .
#   stranger    verify and tools that are not ours:  docker build --target stranger -t ambiemo:stranger .
#   reproduce   CUDA, vLLM with audio, Ray, openai:  docker build --target reproduce -t ambiemo:reproduce .
# Bases are pinned by digest (reproduce/check_dockerfile.py refuses anything else, `make lint` runs it); both may be overridden with
# --build-arg. The locks are complete: pip resolves nothing (--no-deps; it would trip over extras that uv has written out) and then
# checks that nothing is wanting. Neither this file nor the locks name a package index: yours is used, and the hashes decide what it
# may serve.
#
# python:3.11-slim-bookworm, index digest of 2026-08-25 (Python 3.11.16), as docker-library/repo-info records it
# (repos/python/remote/3.11-slim-bookworm.md at commit 33a22f41ac7bf613bc03380b0317536a9a7fb5e8).
ARG BASE_IMAGE=python:3.11-slim-bookworm@sha256:0bee7276f83efd4a1ee05bbbf4281d95ed28e079220a9457f25a93e3f1e3c31b
# CUDA 13.0 is what torch 2.13.0 is built with. Read on 2026-11-21 in five unrelated public projects that pin the same pair of tag and
# digest, chrysogonus/local-image-upscaler among them; not pulled by us.
ARG CUDA_IMAGE=nvidia/cuda:13.0.1-runtime-ubuntu24.04@sha256:c3fde347d52d578c84fd644bc177bc7ec333feaf11550d990da4084d7612e4c7

# --- verify -----------------------------------------------------------------------------------------------------------
FROM ${BASE_IMAGE} AS verify
ARG SOURCE_DATE_EPOCH=0
LABEL org.opencontainers.image.title="ambiemo verify" \
      org.opencontainers.image.description="Checks the bundles of arXiv 2602.03873's reproduction package" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH} \
    PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    LANG=C.UTF-8 \
    TZ=UTC \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    HOME=/tmp \
    MPLCONFIGDIR=/tmp
COPY locks/verify.txt /opt/ambiemo/locks/verify.txt
RUN python3 -m venv /opt/venv \
    && pip install --no-compile --no-deps --require-hashes -r /opt/ambiemo/locks/verify.txt \
    && pip check
COPY pyproject.toml README.md LICENSE /opt/ambiemo/
COPY ambiemo /opt/ambiemo/ambiemo
RUN pip install --no-compile --no-deps --no-build-isolation /opt/ambiemo \
    && rm -rf /opt/ambiemo/build /opt/ambiemo/ambiemo.egg-info /opt/ambiemo/ambiemo \
    && install -d -m 1777 /out
USER 10001:10001
WORKDIR /out
ENTRYPOINT ["ambiemo"]
CMD ["--help"]

# --- stranger ---------------------------------------------------------------------------------------------------------
# Six tools about one archive, without a network: docker run --rm --network none -v "$PWD/quick.tar:/quick.tar:ro" ambiemo:stranger
FROM verify AS stranger
LABEL org.opencontainers.image.title="ambiemo stranger" \
      org.opencontainers.image.description="Asks six tools whether a bundle of arXiv 2602.03873's reproduction package holds"
USER 0:0
COPY locks/outside.txt /opt/ambiemo/locks/outside.txt
COPY ambiemo /opt/ambiemo/ambiemo
RUN python3 -m venv /opt/outside \
    && /opt/outside/bin/pip install --no-compile --no-deps --require-hashes -r /opt/ambiemo/locks/outside.txt \
    && /opt/outside/bin/pip install --no-compile --no-deps --no-build-isolation /opt/ambiemo \
    && rm -rf /opt/ambiemo/build /opt/ambiemo/ambiemo.egg-info /opt/ambiemo/ambiemo
COPY reproduce/stranger.sh reproduce/rocrate_cache.py /opt/ambiemo/reproduce/
USER 10001:10001
# The container has no network, so the script does not make a namespace of its own.
ENV STRANGER_INSIDE=1
ENTRYPOINT ["/opt/ambiemo/reproduce/stranger.sh"]
CMD ["/quick.tar", "/opt/outside/bin"]

# --- reproduce --------------------------------------------------------------------------------------------------------
# What is written while it runs lies in the mounted folders (weights and compiled kernels in models/, the rest in
# artifacts/) and in /tmp: `--read-only --tmpfs /tmp` holds. What Python compiles is kept there too, because the image holds
# none of it and each actor would compile torch, vLLM and Ray for itself.
FROM ${CUDA_IMAGE} AS reproduce
ARG SOURCE_DATE_EPOCH=0
LABEL org.opencontainers.image.title="ambiemo reproduce" \
      org.opencontainers.image.description="Runs the plans of arXiv 2602.03873's reproduction package on GPUs" \
      org.opencontainers.image.licenses="Apache-2.0"
# Ubuntu's archive as it was at this moment (apt reads it from Ubuntu's snapshot service); empty = today's.
ARG APT_SNAPSHOT=20261101T000000Z
ENV SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH} \
    PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    LANG=C.UTF-8 \
    TZ=UTC \
    PYTHONPYCACHEPREFIX=/tmp/pycache \
    PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    HOME=/home/ambiemo \
    USER=ambiemo \
    LOGNAME=ambiemo \
    MPLCONFIGDIR=/tmp \
    HF_HOME=/home/ambiemo/models \
    XDG_CACHE_HOME=/home/ambiemo/models/cache \
    TRITON_CACHE_DIR=/home/ambiemo/models/cache/triton \
    TORCHINDUCTOR_CACHE_DIR=/home/ambiemo/models/cache/inductor \
    RAY_USAGE_STATS_ENABLED=0 \
    VLLM_NO_USAGE_STATS=1 \
    VLLM_USE_FLASHINFER_SAMPLER=0 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
# Triton compiles its launchers when vLLM starts: a C compiler and Python's headers stay in the image;
# KubeRay probes a pod with wget. NVIDIA's own package list is
# dropped, so that nothing comes from an archive without snapshots.
# hadolint ignore=DL3008
RUN rm -f /etc/apt/sources.list.d/cuda* \
    && printf 'APT::Snapshot "%s";\n' "${APT_SNAPSHOT}" > /etc/apt/apt.conf.d/50snapshot \
    && apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev python3-dev python3-venv wget \
    && rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log /var/cache/ldconfig/aux-cache
COPY locks/reproduce.txt /opt/ambiemo/locks/reproduce.txt
RUN python3 -m venv /opt/venv \
    && pip install --no-compile --no-deps --require-hashes -r /opt/ambiemo/locks/reproduce.txt \
    && pip check
COPY pyproject.toml README.md LICENSE /opt/ambiemo/
COPY ambiemo /opt/ambiemo/ambiemo
RUN pip install --no-compile --no-deps --no-build-isolation /opt/ambiemo \
    && rm -rf /opt/ambiemo/build /opt/ambiemo/ambiemo.egg-info /opt/ambiemo/ambiemo \
    && install -d -m 1777 /home/ambiemo /home/ambiemo/models /home/ambiemo/artifacts /out
COPY reproduce /home/ambiemo/reproduce
USER 10001:10001
WORKDIR /home/ambiemo
ENTRYPOINT ["ambiemo"]
CMD ["--help"]
