/* A file system that cannot do what ext4 can, for LD_PRELOAD. Each variable holds the errno that the
   call answers with: FAIL_FSYNC_OF_FOLDERS, FAIL_FSYNC_OF_FILES, FAIL_FSYNC_OF_READ_ONLY (of what was
   opened for reading), FAIL_FLOCK and FAIL_EXCHANGE (of two names, in one step). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static int fails(const char *variable) {
    const char *value = getenv(variable);
    if (value)
        errno = atoi(value);
    return value != NULL;
}

int fsync(int descriptor) {
    struct stat about;
    if (fstat(descriptor, &about))
        return -1;
    if (fails(S_ISDIR(about.st_mode) ? "FAIL_FSYNC_OF_FOLDERS" : "FAIL_FSYNC_OF_FILES"))
        return -1;
    if ((fcntl(descriptor, F_GETFL) & O_ACCMODE) == O_RDONLY && fails("FAIL_FSYNC_OF_READ_ONLY"))
        return -1;
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(descriptor);
}

int flock(int descriptor, int operation) {
    if (fails("FAIL_FLOCK"))
        return -1;
    return ((int (*)(int, int))dlsym(RTLD_NEXT, "flock"))(descriptor, operation);
}

/* filelock exchanges names by renameat2 through syscall(2). */
long syscall(long number, ...) {
    long given[6];
    va_list arguments;
    va_start(arguments, number);
    for (int i = 0; i < 6; i++)
        given[i] = va_arg(arguments, long);
    va_end(arguments);
    if (number == SYS_renameat2 && given[4] == 2 /* RENAME_EXCHANGE */ && fails("FAIL_EXCHANGE"))
        return -1;
    return ((long (*)(long, ...))dlsym(RTLD_NEXT, "syscall"))(
        number, given[0], given[1], given[2], given[3], given[4], given[5]);
}
