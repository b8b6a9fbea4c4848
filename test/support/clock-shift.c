/* Preloaded into a redis-server (LD_PRELOAD): its wall clock is off by as many seconds as the file CLOCK_SHIFT says. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

int gettimeofday(struct timeval *now, void *zone)
{
    char text[32] = "";
    int file = open(getenv("CLOCK_SHIFT"), O_RDONLY);
    if (file >= 0) {
        if (read(file, text, sizeof text - 1) < 0) text[0] = 0;
        close(file);
    }
    int result = (int)syscall(SYS_gettimeofday, now, zone);
    now->tv_sec += atol(text);
    return result;
}
