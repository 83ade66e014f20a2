# Sourced by campaigns that need a system that has seen nothing of Runnel: clean_debian ROOT makes
# one and mounts its /proc; `inside` runs a command there. Root and Debian's mirror are needed.
mirror=${RUNNEL_DEBIAN_MIRROR:-http://deb.debian.org/debian}

clean_debian_is_possible() { [ "$(id -u)" -eq 0 ] && command -v debootstrap > /dev/null; }

# False when the mirror is out of reach; its words are in LOG.
clean_debian() { # clean_debian ROOT LOG
    root=$1
    debootstrap --variant=minbase bookworm "$root" "$mirror" > "$2" 2>&1 || return 1
    mount -t proc proc "$root/proc"
    cp /etc/resolv.conf "$root/etc/"
    echo 'APT::Get::Assume-Yes "true";' > "$root/etc/apt/apt.conf.d/90yes"
}

inside() {
    chroot "$root" env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
        LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
}

clean_debian_remove() { umount "$root/proc" 2> /dev/null; rm -rf --one-file-system "$root"; }
