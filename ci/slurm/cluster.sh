# A Slurm cluster of one's own on one machine: a controller and three nodes on loopback, without privileges, with typed
# GPUs that are none. To be sourced. It ends only what it started.
#   cluster_missing          says why there can be none here; nothing when there can
#   cluster_start FOLDER     starts it; SLURM_CONF then names it to every Slurm command
#   node_kill NODE           the node's daemon dies; what it had started goes on
#   node_start NODE
#   cluster_stop

nodes=(n1 n2 n3)

cluster_missing() {
  local program
  for program in slurmctld slurmd sbatch scontrol squeue; do
    PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null || { echo "$program is missing: package slurm-wlm"; return; }
  done
  getent hosts "$(hostname)" >/dev/null || echo "this host's name $(hostname) has no address"
}

free_ports() { # free_ports COUNT: so many ports in a row on which nobody listens
  python3 - "$1" <<'END'
import random, socket, sys
count = int(sys.argv[1])
while True:
    first, sockets = random.randrange(20000, 30000), []
    try:
        for port in range(first, first + count):
            sockets.append(socket.socket())
            sockets[-1].bind(("127.0.0.1", port))
        break
    except OSError:
        pass
print(first)
END
}

cluster_start() {
  PATH=$PATH:/usr/sbin:/sbin
  cluster=$1
  local port user node
  port=$(free_ports 4) user=$(id -un)
  mkdir -p "$cluster/state"
  cat >"$cluster/slurm.conf" <<END
ClusterName=assay
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmctldPort=$port
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/none
CredType=cred/none
MpiDefault=none
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_interval=1
StateSaveLocation=$cluster/state
SlurmdSpoolDir=$cluster/spool.%n
SlurmctldPidFile=$cluster/slurmctld.pid
SlurmdPidFile=$cluster/%n.pid
SlurmctldLogFile=$cluster/slurmctld.log
SlurmdLogFile=$cluster/%n.log
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=6
KillWait=5
GresTypes=gpu
NodeName=n1 NodeHostname=$(hostname) NodeAddr=127.0.0.1 Port=$((port + 1)) CPUs=4 Gres=gpu:h100:2
NodeName=n2 NodeHostname=$(hostname) NodeAddr=127.0.0.1 Port=$((port + 2)) CPUs=4 Gres=gpu:h100:2
NodeName=n3 NodeHostname=$(hostname) NodeAddr=127.0.0.1 Port=$((port + 3)) CPUs=4 Gres=gpu:a100:2
PartitionName=main Nodes=n1,n2,n3 Default=YES MaxTime=60
END
  printf 'NodeName=n[1-2] Name=gpu Type=h100 File=/dev/null,/dev/zero\nNodeName=n3 Name=gpu Type=a100 File=/dev/null,/dev/zero\n' \
    >"$cluster/gres.conf"
  export SLURM_CONF=$cluster/slurm.conf
  slurmctld -D >"$cluster/slurmctld.out" 2>&1 &
  controller=$!
  declare -gA daemons=()
  for node in "${nodes[@]}"; do node_start "$node"; done
  local waited
  for waited in $(seq 100); do
    [ "$(sinfo --noheader --format=%D --states=idle 2>/dev/null)" = 3 ] && return 0
    sleep 0.2
  done
  echo "the cluster does not come up:"
  sinfo -N -l 2>&1; tail -n 5 "$cluster"/*.log "$cluster"/*.out
  return 1
}

node_start() {
  mkdir -p "$cluster/spool.$1"
  slurmd -D -N "$1" >"$cluster/$1.out" 2>&1 &
  daemons[$1]=$!
}

node_kill() { kill -KILL "${daemons[$1]}"; wait "${daemons[$1]}" 2>/dev/null; unset "daemons[$1]"; }

cluster_stop() {
  [ -n "${cluster:-}" ] || return 0
  scancel --user="$(id -un)" 2>/dev/null
  sleep 1
  local node
  for node in "${!daemons[@]}"; do kill "${daemons[$node]}" 2>/dev/null; done
  kill "$controller" 2>/dev/null
  wait "${daemons[@]}" "$controller" 2>/dev/null
}
