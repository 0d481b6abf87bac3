// Loaded before libc (LD_PRELOAD): a file system without locks, as Lustre and some mounts of NFS and FUSE are.

#include <cerrno>

extern "C" int flock(int, int) {
    errno = ENOSYS;
    return -1;
}
