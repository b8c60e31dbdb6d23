/* The memory questions of Intel's kernel drivers, answered.
 *
 * fake_ioctl stands in for ioctl(2). The environment says what the card has:
 * FAKE_VRAM, FAKE_VRAM_USED (bytes of each tile; used is told to administrators only: 0),
 * FAKE_TILES, and FAKE_RAM, the bytes of the machine's that it is lent. Returns 0, or -1 for what these drivers would refuse.
 *
 * Layouts and numbers are those of include/uapi/drm/i915_drm.h and xe_drm.h, as C lays them out
 * and _IOWR makes them; the headers themselves are not on every machine. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define DRM_COMMAND_BASE 0x40
#define DRM_I915_QUERY_MEMORY_REGIONS 4
#define DRM_XE_DEVICE_QUERY_MEM_REGIONS 1
enum { SYSTEM_MEMORY, OWN_MEMORY };

struct drm_i915_query_item {
    uint64_t query_id;
    int32_t length;
    uint32_t flags;
    uint64_t data_ptr;
};

struct drm_i915_query {
    uint32_t num_items;
    uint32_t flags;
    uint64_t items_ptr;
};

struct drm_i915_query_memory_regions {
    uint32_t num_regions;
    uint32_t rsvd[3];
    struct {
        struct {
            uint16_t memory_class;
            uint16_t memory_instance;
        } region;
        uint32_t rsvd0;
        uint64_t probed_size;
        uint64_t unallocated_size;
        uint64_t rsvd1[8];
    } regions[];
};

struct drm_xe_device_query {
    uint64_t extensions;
    uint32_t query;
    uint32_t size;
    uint64_t data;
    uint64_t reserved[2];
};

struct drm_xe_query_mem_regions {
    uint32_t num_mem_regions;
    uint32_t pad;
    struct {
        uint16_t mem_class;
        uint16_t instance;
        uint32_t min_page_size;
        uint64_t total_size;
        uint64_t used;
        uint64_t cpu_visible_size;
        uint64_t cpu_visible_used;
        uint64_t reserved[6];
    } mem_regions[];
};

#define DRM_IOCTL_I915_QUERY _IOWR('d', DRM_COMMAND_BASE + 0x39, struct drm_i915_query)
#define DRM_IOCTL_XE_DEVICE_QUERY _IOWR('d', DRM_COMMAND_BASE + 0x00, struct drm_xe_device_query)

static uint64_t number(const char *name)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : 0;
}

static int i915(struct drm_i915_query *query)
{
    if (query->num_items != 1 || query->flags)
        return -1;
    struct drm_i915_query_item *item = (void *)(uintptr_t)query->items_ptr;
    if (item->query_id != DRM_I915_QUERY_MEMORY_REGIONS || item->flags)
        return -1;
    uint64_t tiles = number("FAKE_TILES");
    struct drm_i915_query_memory_regions *told;
    int32_t size = sizeof *told + (1 + tiles) * sizeof told->regions[0];
    if (item->length == 0) {
        item->length = size;
        return 0;
    }
    if (item->length < size)
        return -1;
    told = (void *)(uintptr_t)item->data_ptr;
    memset(told, 0, size);
    told->num_regions = 1 + tiles;
    told->regions[0].region.memory_class = SYSTEM_MEMORY;
    told->regions[0].probed_size = told->regions[0].unallocated_size = number("FAKE_RAM");
    for (uint64_t i = 1; i <= tiles; i++) {
        told->regions[i].region.memory_class = OWN_MEMORY;
        told->regions[i].region.memory_instance = i - 1;
        told->regions[i].probed_size = number("FAKE_VRAM");
        told->regions[i].unallocated_size = number("FAKE_VRAM") - number("FAKE_VRAM_USED");
    }
    return 0;
}

static int xe(struct drm_xe_device_query *query)
{
    if (query->query != DRM_XE_DEVICE_QUERY_MEM_REGIONS || query->extensions)
        return -1;
    uint64_t tiles = number("FAKE_TILES");
    struct drm_xe_query_mem_regions *told;
    uint32_t size = sizeof *told + (1 + tiles) * sizeof told->mem_regions[0];
    if (query->size == 0) {
        query->size = size;
        return 0;
    }
    if (query->size != size)
        return -1;
    told = (void *)(uintptr_t)query->data;
    memset(told, 0, size);
    told->num_mem_regions = 1 + tiles;
    told->mem_regions[0].mem_class = SYSTEM_MEMORY;
    told->mem_regions[0].total_size = number("FAKE_RAM");
    for (uint64_t i = 1; i <= tiles; i++) {
        told->mem_regions[i].mem_class = OWN_MEMORY;
        told->mem_regions[i].instance = i;
        told->mem_regions[i].total_size = number("FAKE_VRAM");
        told->mem_regions[i].used = number("FAKE_VRAM_USED");
    }
    return 0;
}

int fake_ioctl(unsigned long request, void *data)
{
    if (request == DRM_IOCTL_I915_QUERY)
        return i915(data);
    if (request == DRM_IOCTL_XE_DEVICE_QUERY)
        return xe(data);
    return -1;
}
