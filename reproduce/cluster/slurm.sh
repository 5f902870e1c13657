#!/usr/bin/env bash
#SBATCH --job-name=ambiemo
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=1
#SBATCH --exclusive
#SBATCH --time=24:00:00
#SBATCH --output=ambiemo-%j.log
# The paper's run on a Slurm cluster, one Ray node on each of the job's nodes. NOT RUN HERE: no cluster was at hand.
#
#   sbatch --nodes=4 --gpus-per-node=8 reproduce/cluster/slurm.sh [PLAN [OPTIONS of ambiemo run]]
#
# Models that cost money need `max_dollars` in the plan, or --yes among the options: the job ends with exit 2 and says so otherwise.
# Every node is looked at before the first draw (docs/clusters.md): a node without a key, a GPU, or with another version ends the job
# with exit 2 and one line each.
#
# From the repository, on a file system that all nodes share, with `.venv` made by `make` and `pip install '.[run,vllm]'`, or with
# AMBIEMO="bash reproduce/cluster/apptainer.sh exec" to run in the image. AMBIEMO_DATA, HF_HOME, HF_TOKEN and the API keys are taken
# from the environment. The whole node is asked for (--exclusive) because Ray counts every core and GPU it sees as its own.
# Killed or out of time, the same command goes on where it stopped.
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:?start it with sbatch, from the repository}"
plan=${1:-reproduce/paper.yaml}
read -r -a prefix <<<"${AMBIEMO:-}"
((${#prefix[@]})) || PATH=$PWD/.venv/bin:$PATH

# sed reads to the end: `head` would close the pipe early, scontrol would die of it, and pipefail would end the job.
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed -n 1p)
name=$(basename "$plan" .yaml)
# Ray turns token authentication on wherever a token lies in the home folder (any earlier local run leaves one), and nodes that disagree
# do not join. One token for this job, in the environment that srun hands on; it is gone with the job.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN=${RAY_AUTH_TOKEN:-$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')}
# Ray waits 30 s for the other nodes unless told otherwise; an image unpacked from a shared disk takes minutes to start.
export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=${RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT:-900}
# Ray ends a process that needs more than 60 s to start, and starts it again: Python on a shared disk may need more.
export RAY_worker_register_timeout_seconds=${RAY_worker_register_timeout_seconds:-600}
# srun takes no --cpus-per-task over from sbatch (since Slurm 22.05), and binds a task to one core without it.
srun --cpus-per-task="${SLURM_CPUS_ON_NODE:?not set by Slurm}" --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 \
  "${prefix[@]}" ray symmetric-run --address "$head:6379" --min-nodes "$SLURM_JOB_NUM_NODES" -- \
  ambiemo run "$plan" --address auto --out "artifacts/$name" "${@:2}"
