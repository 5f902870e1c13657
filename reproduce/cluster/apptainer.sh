#!/usr/bin/env bash
# The image under Apptainer, where a cluster has no Docker. NOT RUN HERE: no Apptainer was at hand.
#
#   bash reproduce/cluster/apptainer.sh build oci-archive:ambiemo.tar        from a file (docker save / podman save --format oci-archive)
#   bash reproduce/cluster/apptainer.sh build docker://HOST/ambiemo@sha256:… from a registry, by digest and not by tag
#   bash reproduce/cluster/apptainer.sh run reproduce/paper.yaml             on this machine
#   bash reproduce/cluster/apptainer.sh exec COMMAND...                      any command inside (slurm.sh uses this)
#
# --containall: nothing of the host's home or environment comes in but what is named here.
set -euo pipefail
image=${AMBIEMO_SIF:-ambiemo.sif}
models=${HF_HOME:-$HOME/.cache/huggingface}
usage() {
  sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
  exit 2
}

inside() {
  mkdir -p artifacts "$models"
  local options=(--nv --containall --pwd /home/ambiemo
    --bind "$PWD/reproduce:/home/ambiemo/reproduce:ro" --bind "$PWD/artifacts:/home/ambiemo/artifacts"
    --bind "$models:/home/ambiemo/models" --env HF_HOME=/home/ambiemo/models)
  if [[ -n ${AMBIEMO_DATA:-} ]]; then
    options+=(--bind "$AMBIEMO_DATA:$AMBIEMO_DATA:ro" --env "AMBIEMO_DATA=$AMBIEMO_DATA")
  fi
  local key
  for key in HF_TOKEN OPENAI_API_KEY GEMINI_API_KEY; do
    # by APPTAINERENV_ and not by --env, so that no key shows in a process list
    if [[ -n ${!key:-} ]]; then export "APPTAINERENV_$key=${!key}"; fi
  done
  exec apptainer exec "${options[@]}" "$image" "$@"
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
