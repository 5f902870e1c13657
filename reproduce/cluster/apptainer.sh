#!/usr/bin/env bash
# The image under Apptainer, where a cluster has no Docker. NOT RUN HERE: no Apptainer was at hand.
#
#   bash reproduce/cluster/apptainer.sh build oci-archive:ambiemo.tar        from a file (docker save / podman save --format oci-archive)
#   bash reproduce/cluster/apptainer.sh build docker://HOST/ambiemo@sha256:… from a registry, by digest and not by tag
#   bash reproduce/cluster/apptainer.sh run reproduce/paper.yaml [OPTIONS]   on this machine, with options of `ambiemo run`
#   bash reproduce/cluster/apptainer.sh exec COMMAND...                      any command inside (slurm.sh uses this)
#
# Models that cost money need `max_dollars` in the plan or --yes: the run ends with exit 2 and says so otherwise.
# --containall: nothing of the host's home or environment comes in but what is named here. It also gives /tmp, where Ray
# keeps its logs and what spills from memory, 64 MB: --workdir puts it on a disk of the host's instead. State a folder with
# 50 GB or more free as AMBIEMO_SCRATCH where the host's own TMPDIR is small. The host's network is the container's.
set -euo pipefail
image=${AMBIEMO_SIF:-ambiemo.sif}
models=${HF_HOME:-$HOME/.cache/huggingface}
# Every variable that a row of ambiemo/models/registry.py names (tests/test_container_cluster.py compares), and what Ray and the hub read.
variables=(HF_TOKEN HF_HUB_OFFLINE OPENAI_API_KEY GEMINI_API_KEY AUDIO_FLAMINGO_2_BASE_URL RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT
  RAY_AUTH_MODE RAY_AUTH_TOKEN RAY_worker_register_timeout_seconds)
usage() {
  sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
  exit 2
}

inside() {
  mkdir -p artifacts "$models"
  scratch=$(mktemp -d "${AMBIEMO_SCRATCH:-${TMPDIR:-/tmp}}/ambiemo.XXXXXX")
  trap 'rm -rf "$scratch"' EXIT
  local options=(--nv --containall --pwd /home/ambiemo --workdir "$scratch" --bind /dev/shm
    --bind "$PWD/reproduce:/home/ambiemo/reproduce:ro" --bind "$PWD/artifacts:/home/ambiemo/artifacts"
    --bind "$models:/home/ambiemo/models" --env HF_HOME=/home/ambiemo/models)
  if [[ -n ${AMBIEMO_DATA:-} ]]; then
    options+=(--bind "$AMBIEMO_DATA:$AMBIEMO_DATA:ro" --env "AMBIEMO_DATA=$AMBIEMO_DATA")
  fi
  local name
  for name in "${variables[@]}"; do
    # by APPTAINERENV_ and not by --env, so that no key shows in a process list
    if [[ -n ${!name:-} ]]; then export "APPTAINERENV_$name=${!name}"; fi
  done
  apptainer exec "${options[@]}" "$image" "$@"
}

case ${1:-} in
  build)
    [[ ${2:-} == *@sha256:* || ${2:-} == *-archive:* ]] || usage
    exec apptainer build "$image" "$2"
    ;;
  run)
    [[ $# -ge 2 ]] || usage
    name=$(basename "$2" .yaml)
    inside ambiemo run "$2" --out "artifacts/$name" "${@:3}"
    ;;
  exec)
    [[ $# -ge 2 ]] || usage
    inside "${@:2}"
    ;;
  *) usage ;;
esac
