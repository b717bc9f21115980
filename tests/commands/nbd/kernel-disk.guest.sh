# What kernel-disk.test.ts has run in a virtual machine: $NBD is the program. Each section prints what the test expects.
disk=/sys/block/nbd0
export TMPDIR=/tmp
cd /tmp || exit
mkdir m

section() { echo "## $1"; }
status() { "$@" 2>&1; echo "status $?"; }
# Wait for a command to succeed.
until_true() { for _ in $(seq 900); do "$@" > /dev/null 2>&1 && return; sleep 0.1; done; echo "in vain: $*"; }
# Not the searching program itself, whose words match no more than its pattern.
servers() { echo "servers $(grep -la "${NBD%nbd}[n]bd" /proc/[0-9]*/cmdline 2> /dev/null | wc -l)"; }
no_servers() { [ "$(servers)" = 'servers 0' ]; }
connected() { [ -e $disk/pid ] && echo connected || echo 'not connected'; }

section connect
truncate -s 24M raw
printf '2048,,L\n' | sfdisk -q raw
status "$NBD" -c /dev/nbd0 -f raw raw
ls /dev/nbd0p1
blockdev --getsize64 --getro --getss /dev/nbd0
servers

section again
status "$NBD" -c /dev/nbd0 -f raw raw

section mounted
mkfs.ext4 -q /dev/nbd0p1
mount /dev/nbd0p1 m
dd if=/dev/urandom of=m/random bs=1M count=4 2> /dev/null
cp m/random .
status "$NBD" -d /dev/nbd0
umount m

section disconnect
status "$NBD" -d /dev/nbd0
connected
servers
status "$NBD" -d /dev/nbd0
dd if=raw of=part bs=1M skip=1 2> /dev/null
e2fsck -fn part > /dev/null 2>&1; echo "check $?"
mount -o loop,ro part m; cmp m/random random && echo same; umount m

section format
qemu-img create -q -f qcow2 -b raw -F raw top.qcow2
"$NBD" -v -c /dev/nbd0 -f qcow2 --cache=writethrough --discard=unmap top.qcow2 2> told & server=$!
until_true [ -s told ]
cat told
dd if=random of=/dev/nbd0 bs=64k seek=1 2> /dev/null
kill $server; wait $server; echo "status $?"
connected
qemu-img check -q top.qcow2; echo "check $?"
qemu-img dd -f qcow2 -O raw if=top.qcow2 of=copy bs=64k skip=1 count=65; cmp copy random && echo same

section signal
cp part late
"$NBD" -v -c /dev/nbd0 -f raw late > told 2>&1 & server=$!
until_true [ -s told ]
mount /dev/nbd0 m
cp random m/last
kill $server; wait $server; echo "status $?"
umount m 2> /dev/null
connected
e2fsck -fp late > /dev/null 2>&1
mount -o loop,ro late m; cmp m/last random && echo same; umount m

section sizes
truncate -s 0 empty
status "$NBD" -c /dev/nbd0 -f raw empty
blockdev --getsize64 /dev/nbd0
status "$NBD" -d /dev/nbd0
truncate -s 10000 odd
status "$NBD" -r -c /dev/nbd0 --image-opts driver=raw,file.driver=blkdebug,file.align=4096,file.image.filename=odd
blockdev --getsize64 --getss /dev/nbd0
status "$NBD" -d /dev/nbd0

section read-only
status "$NBD" -r -c /dev/nbd0 -f raw --offset 1048576 raw
blockdev --getro --getsize64 /dev/nbd0
cmp /dev/nbd0 part && echo same
dd if=random of=/dev/nbd0 count=1 conv=fsync 2> /dev/null; echo "write $?"
status qemu-nbd -d /dev/nbd0
until_true no_servers
connected

section snapshot
cp raw before
status "$NBD" -s -c /dev/nbd0 -f raw raw
dd if=random of=/dev/nbd0 bs=64k conv=fsync 2> /dev/null; echo "write $?"
cmp -n 4194304 /dev/nbd0 random && echo written
status "$NBD" -d /dev/nbd0
cmp raw before && echo same

section rights
cp raw mine; chmod 666 mine
status setpriv --reuid=65534 --clear-groups "$NBD" -c /dev/nbd0 -f raw mine
connected

section killed
"$NBD" -v --pid-file pid -c /dev/nbd0 -f raw raw > told 2>&1 &
until_true [ -s told ]
kill -9 "$(cat pid)"; wait
dd if=/dev/nbd0 of=/dev/null iflag=direct count=1 2> /dev/null; echo "read $?"
connected
status "$NBD" -c /dev/nbd0 -f raw raw
status "$NBD" -d /dev/nbd0
connected

section others
status "$NBD" -t -e 2 -k /tmp/socket --pid-file pid -c /dev/nbd0 -f raw raw
dd if=random of=/dev/nbd0 bs=64k seek=2 conv=fsync 2> /dev/null
qemu-img dd -f raw -O raw "if=nbd+unix:///?socket=/tmp/socket" of=copy bs=64k skip=2 count=66; cmp copy random && echo same
status "$NBD" -c /dev/nbd1 -f raw "nbd+unix:///?socket=/tmp/socket"
cmp -n 4194304 -i 131072:0 /dev/nbd1 random && echo same
status "$NBD" -d /dev/nbd1
status "$NBD" -d /dev/nbd0
connected
servers
kill "$(cat pid)"
until_true no_servers

section theirs
status qemu-nbd -c /dev/nbd0 -f raw raw
dd if=random of=/dev/nbd0 bs=64k seek=3 2> /dev/null
status "$NBD" -d /dev/nbd0
connected
cmp -n 4194304 -i 196608:0 raw random && echo same

section full
mkdir small
mount -t tmpfs -o size=1M small small
truncate -s 8M small/raw
status "$NBD" -c /dev/nbd0 -f raw small/raw
dd if=random of=/dev/nbd0 bs=1M 2> /dev/null
status "$NBD" -d /dev/nbd0
connected

section end
