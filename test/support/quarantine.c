/*
 * Preloaded into a server (LD_PRELOAD): freed memory is filled with a pattern and kept for a while before it is
 * released. A read meets the pattern. A write is detected on release, and aborts the process; so does a second
 * free.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATTERN = 0xDB, MOST_BLOCKS = 1 << 18, HASH = 1 << 20 };
static const size_t most_bytes = (size_t)256 << 20;
static const size_t largest = (size_t)1 << 20;

static struct { void *block; size_t size; } blocks[MOST_BLOCKS];
static void *kept[HASH];
static size_t first, count, bytes;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *(*real_malloc)(size_t);
static void *(*real_calloc)(size_t, size_t);
static void (*real_free)(void *);

/* dlsym allocates before malloc has been found: it gets memory from here, which is never freed. */
static char early[1 << 16] __attribute__((aligned(16)));
static size_t early_used;

static int is_early(void *block)
{
    return (char *)block >= early && (char *)block < early + sizeof early;
}

static void *take_early(size_t size)
{
    size_t at = early_used;
    early_used += (size + 15) & ~(size_t)15;
    return early_used <= sizeof early ? early + at : NULL;
}

static void load(void)
{
    static int loading;
    if (loading) return;
    loading = 1;
    void *(*found_malloc)(size_t) = dlsym(RTLD_NEXT, "malloc");
    real_calloc = dlsym(RTLD_NEXT, "calloc");
    real_free = dlsym(RTLD_NEXT, "free");
    real_malloc = found_malloc;
}

static void die(const char *words)
{
    if (write(2, words, strlen(words)) < 0) _exit(1);
    abort();
}

/* The blocks that are kept, by open addressing. */
static size_t home_of(void *block)
{
    return ((size_t)block >> 4) * 0x9E3779B97F4A7C15u >> 44;
}

static int is_kept(void *block)
{
    for (size_t at = home_of(block); kept[at] != NULL; at = (at + 1) % HASH)
        if (kept[at] == block) return 1;
    return 0;
}

static void keep(void *block)
{
    size_t at = home_of(block);
    while (kept[at] != NULL) at = (at + 1) % HASH;
    kept[at] = block;
}

/* Removes a block, and moves a later one into the gap if that is nearer to its home. */
static void leave(void *block)
{
    size_t gap = home_of(block);
    while (kept[gap] != block) gap = (gap + 1) % HASH;
    for (size_t at = (gap + 1) % HASH; kept[at] != NULL; at = (at + 1) % HASH)
        if ((at + HASH - home_of(kept[at])) % HASH >= (at + HASH - gap) % HASH) {
            kept[gap] = kept[at];
            gap = at;
        }
    kept[gap] = NULL;
}

static void *oldest(void)
{
    void *block = blocks[first].block;
    size_t size = blocks[first].size;
    first = (first + 1) % MOST_BLOCKS;
    count--;
    bytes -= size;
    leave(block);
    for (size_t at = 0; at < size; at++)
        if (((unsigned char *)block)[at] != PATTERN) die("quarantine: written to after it was freed\n");
    return block;
}

void free(void *block)
{
    if (block == NULL || is_early(block)) return;
    size_t size = malloc_usable_size(block);
    pthread_mutex_lock(&lock);
    if (is_kept(block)) die("quarantine: freed twice\n");
    if (size > largest) {
        pthread_mutex_unlock(&lock);
        real_free(block);
        return;
    }
    memset(block, PATTERN, size);
    while (count == MOST_BLOCKS || (count > 0 && bytes + size > most_bytes)) real_free(oldest());
    blocks[(first + count) % MOST_BLOCKS].block = block;
    blocks[(first + count) % MOST_BLOCKS].size = size;
    count++;
    bytes += size;
    keep(block);
    pthread_mutex_unlock(&lock);
}

void *malloc(size_t size)
{
    if (real_malloc == NULL) load();
    return real_malloc == NULL ? take_early(size) : real_malloc(size);
}

void *calloc(size_t number, size_t size)
{
    if (real_calloc == NULL) load();
    if (real_malloc == NULL) return take_early(number * size);
    return real_calloc(number, size);
}

/* Always moves the block, so that a stale pointer to the old one is noticed. */
void *realloc(void *block, size_t size)
{
    if (block == NULL) return malloc(size);
    if (size == 0) {
        free(block);
        return NULL;
    }
    void *moved = malloc(size);
    if (moved == NULL) return NULL;
    size_t had = is_early(block) ? size : malloc_usable_size(block);
    memcpy(moved, block, had < size ? had : size);
    free(block);
    return moved;
}
