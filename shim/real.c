/* libc's own functions, and liburing's. They are looked up in the symbol table of the library as it lies in memory:
 * dlsym() may allocate, and the allocator's first steps (jemalloc) call the very functions that are looked for. Pure
 * reading of memory, so it works in another library's constructor, inside malloc and in a signal handler, and two
 * threads doing it at once write the same pointer. */
#include "shim.h"

#include <elf.h>
#include <link.h>
#include <string.h>

struct accel_real accel_real;

static const char *const names[] = {
#define CALL(ret, name, params) #name,
#include "calls.def"
#undef CALL
};

struct libc_image {
    const struct link_map *map;
    const ElfW(Sym) *symbols;
    const char *strings;
    const ElfW(Half) *versions;
    const uint32_t *hash;
};

/* glibc relocates the addresses in a dynamic section it may write to; a read-only one keeps them relative. */
static const void *address(const struct link_map *map, ElfW(Addr) value)
{
    return (const void *)(value < map->l_addr ? value + map->l_addr : value);
}

static bool is_named(const char *path, const char *start)
{
    const char *base = path;
    for (const char *p = path; *p != 0; p++)
        if (*p == '/') base = p + 1;
    return __builtin_strncmp(base, start, __builtin_strlen(start)) == 0;
}

static bool is_of_rings(const char *name) { return __builtin_strncmp(name, "io_uring_", 9) == 0; }

static bool is_home(const char *path, const char *name)
{
    if (is_of_rings(name)) return is_named(path, "liburing.so");
    return is_named(path, "libc.so") || is_named(path, "libc-2.");
}

static bool find_home(struct libc_image *image, const char *name)
{
    for (const struct link_map *map = _r_debug.r_map; map != NULL; map = map->l_next) {
        if (map->l_name == NULL || map->l_ld == NULL || !is_home(map->l_name, name)) continue;
        *image = (struct libc_image){ .map = map };
        for (const ElfW(Dyn) *d = map->l_ld; d->d_tag != DT_NULL; d++) {
            const void *at = address(map, d->d_un.d_ptr);
            if (d->d_tag == DT_SYMTAB) image->symbols = at;
            if (d->d_tag == DT_STRTAB) image->strings = at;
            if (d->d_tag == DT_VERSYM) image->versions = at;
            if (d->d_tag == DT_GNU_HASH) image->hash = at;
        }
        if (image->symbols != NULL && image->strings != NULL && image->hash != NULL) return true;
    }
    return false;
}

/* The default version of a name; of a name that has none (compat symbols), the last one of the table. */
static const ElfW(Sym) *find_symbol(const struct libc_image *image, const char *name)
{
    uint32_t hash = 5381;
    for (const unsigned char *p = (const unsigned char *)name; *p != 0; p++) hash = hash * 33 + *p;

    uint32_t bucket_count = image->hash[0], first_hashed = image->hash[1], bloom_words = image->hash[2];
    const uint32_t *buckets = image->hash + 4 + bloom_words * (sizeof(ElfW(Addr)) / 4);
    const uint32_t *chain = buckets + bucket_count;
    const ElfW(Sym) *hidden = NULL;
    uint32_t i = buckets[hash % bucket_count];
    if (i < first_hashed) return NULL;
    for (;; i++) {
        uint32_t link = chain[i - first_hashed];
        const ElfW(Sym) *symbol = &image->symbols[i];
        if ((link | 1) == (hash | 1) && symbol->st_shndx != SHN_UNDEF &&
            __builtin_strcmp(image->strings + symbol->st_name, name) == 0) {
            if (image->versions == NULL || (image->versions[i] & 0x8000) == 0) return symbol;
            hidden = symbol;
        }
        if (link & 1) return hidden;
    }
}

static long missing(void)
{
    errno = ENOSYS;
    return -1;
}

static long missing_ring(void) { return -ENOSYS; } /* liburing's functions give their errors so */

void accel_resolve(size_t index)
{
    struct libc_image image;
    /* an older libc's lack: who calls it found our symbol */
    void *function = is_of_rings(names[index]) ? (void *)missing_ring : (void *)missing;
    if (find_home(&image, names[index])) {
        const ElfW(Sym) *symbol = find_symbol(&image, names[index]);
        if (symbol != NULL) {
            function = (void *)(image.map->l_addr + symbol->st_value);
            if (ELF64_ST_TYPE(symbol->st_info) == STT_GNU_IFUNC) function = ((void *(*)(void))function)();
        }
    }
    __atomic_store_n((void **)&accel_real + index, function, __ATOMIC_RELEASE);
}
