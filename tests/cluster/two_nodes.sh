#!/usr/bin/env bash
# A Slurm of two nodes on this machine, for the tests beside it. Needs root, and Slurm installed.
#   two_nodes.sh start [CPUS]   write the configuration and start; CPUS a node (default 2)
#   two_nodes.sh stop           end what this script started, by its pid files
#   two_nodes.sh kill n1        the node fails: kill -9 of its slurmd and of all that runs on it
#   two_nodes.sh node n1        start a node
# STATE: the folder for everything but /etc/slurm. ACCOUNTING=yes: with slurmdbd, on MariaDB.
#
# Each node is a slurmd in a UTS and a mount namespace of its own, with a host name and /etc/hosts
# of its own; files are shared. Jobs of partition `main` are queued again when one of `urgent` takes
# their place or their node fails; `cards`, of n2 alone, has what counts as a GPU.
set -eu
STATE=${STATE:-/tmp/gallerist-slurm}; CONF=/etc/slurm/slurm.conf
MARK="# Written by Gallerist's tests."
ACCOUNTING=${ACCOUNTING:-no}
pid() { cat "$STATE/$1.pid" 2>/dev/null; }
node() {
  unshare --uts --mount bash -c "hostname $1; mount --bind $STATE/hosts /etc/hosts; exec slurmd -N $1" \
    > "$STATE/log/start_$1" 2>&1 < /dev/null
}
setup() {
  local cpus=${1:-2} accounting="AccountingStorageType=accounting_storage/none"
  [ ! -f $CONF ] || grep -qF "$MARK" $CONF || { echo "$CONF is not of these tests" >&2; exit 1; }
  [ "$ACCOUNTING" = no ] || accounting="AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1"
  mkdir -p "$STATE"/{log,state,spool_n1,spool_n2,mysql} /etc/slurm /run/munge
  chown munge /run/munge; chmod 755 "$STATE"
  [ -f /etc/munge/munge.key ] || {
    dd if=/dev/urandom of=/etc/munge/munge.key bs=1 count=1024 status=none
    chown munge /etc/munge/munge.key; chmod 400 /etc/munge/munge.key; }
  printf '127.0.0.1 localhost n1 n2 %s\n' "$(hostname)" > "$STATE/hosts"
  grep -qE '[[:space:]]n1([[:space:]]|$)' /etc/hosts || printf '127.0.0.1 n1 n2\n' >> /etc/hosts
  printf 'NodeName=n2 Name=gpu File=/dev/null\n' > /etc/slurm/gres.conf
  local mem=$(( $(awk '/MemTotal/{print $2}' /proc/meminfo) / 1024 / 2 - 500 ))
  cat > $CONF <<C
$MARK
ClusterName=two
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=cred_expire=10
StateSaveLocation=$STATE/state
SlurmdSpoolDir=$STATE/spool_%n
SlurmctldPidFile=$STATE/slurmctld.pid
SlurmdPidFile=$STATE/slurmd_%n.pid
SlurmctldLogFile=$STATE/log/slurmctld
SlurmdLogFile=$STATE/log/slurmd_%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MpiDefault=none
JobRequeue=1
ReturnToService=2
SlurmdTimeout=20
KillWait=15
MinJobAge=300
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
$accounting
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
NodeName=n1 NodeHostname=n1 NodeAddr=127.0.0.1 Port=17001 CPUs=$cpus RealMemory=$mem
NodeName=n2 NodeHostname=n2 NodeAddr=127.0.0.1 Port=17002 CPUs=$cpus RealMemory=$mem Gres=gpu:1
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE PriorityTier=1 State=UP
PartitionName=urgent Nodes=n1,n2 MaxTime=INFINITE PriorityTier=10 PreemptMode=OFF State=UP
PartitionName=cards Nodes=n2 MaxTime=INFINITE PriorityTier=1 State=UP
C
}
database() {
  mkdir -p /run/mysqld; chown mysql "$STATE/mysql" /run/mysqld
  cat > /etc/slurm/slurmdbd.conf <<C
AuthType=auth/munge
DbdHost=$(hostname)
DbdAddr=127.0.0.1
SlurmUser=root
PidFile=$STATE/slurmdbd.pid
LogFile=$STATE/log/slurmdbd
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=17306
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm
C
  chmod 600 /etc/slurm/slurmdbd.conf
  local sql="mariadb --no-defaults -uroot -S $STATE/mysql/s"
  [ -d "$STATE/mysql/mysql" ] || mariadb-install-db --user=mysql --datadir="$STATE/mysql" \
    --auth-root-authentication-method=socket >/dev/null 2>&1
  setsid mariadbd --no-defaults --user=mysql --datadir="$STATE/mysql" --socket="$STATE/mysql/s" \
    --port=17306 --bind-address=127.0.0.1 --innodb-lock-wait-timeout=900 \
    --pid-file="$STATE/mysql/mariadb.pid" > "$STATE/log/mariadb" 2>&1 < /dev/null &
  for _ in $(seq 60); do $sql -e 'select 1' >/dev/null 2>&1 && break; sleep 1; done
  $sql -e "create database if not exists slurm;
    create user if not exists slurm@'%' identified by 'slurm'; grant all on slurm.* to slurm@'%';
    create user if not exists slurm@localhost identified by 'slurm'; grant all on slurm.* to slurm@localhost"
  slurmdbd; for _ in $(seq 30); do timeout 5 sacctmgr -n list cluster >/dev/null 2>&1 && break; sleep 1; done
  sacctmgr -i add cluster two >/dev/null 2>&1 || true
  sacctmgr -i add account default cluster=two >/dev/null 2>&1 || true
  sacctmgr -i add user root account=default >/dev/null 2>&1 || true
}
case ${1:-} in
  start)
    setup "${2:-2}"
    pgrep -x munged >/dev/null || runuser -u munge -- munged
    [ "$ACCOUNTING" = no ] || database
    slurmctld; sleep 2; node n1; node n2
    for _ in $(seq 30); do [ "$(sinfo -h -N -p main -t idle -o %n | sort -u | wc -l)" = 2 ] && exit; sleep 1; done
    sinfo >&2; exit 1 ;;
  node) node "$2"; sleep 2; scontrol update nodename="$2" state=resume 2>/dev/null || true ;;
  kill) # every process in the node's UTS namespace is the node's
    p=$(pid "slurmd_$2"); uts=$(readlink "/proc/$p/ns/uts")
    [ "$uts" != "$(readlink /proc/self/ns/uts)" ] || exit 1
    for s in /proc/[0-9]*; do [ "$(readlink "$s/ns/uts" 2>/dev/null)" = "$uts" ] && kill -9 "${s#/proc/}" 2>/dev/null || true; done
    scontrol update nodename="$2" state=down reason=test ;;
  stop) # jobs first, which would outlive their node
    timeout 20 scancel --user="$(id -un)" 2>/dev/null && sleep 3
    for p in slurmd_n1 slurmd_n2 slurmctld slurmdbd mysql/mariadb; do
      n=$(pid $p) || continue; kill "$n" 2>/dev/null || continue
      for _ in $(seq 15); do kill -0 "$n" 2>/dev/null || break; sleep 1; done; kill -9 "$n" 2>/dev/null || true
    done ;;
  *) sed -n 2,11p "$0"; exit 2 ;;
esac
