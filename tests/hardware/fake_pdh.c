// Windows' performance counters (pdh.h) with the instances that a test sets. Strings are this
// system's wide strings, as ctypes makes them here.
#include <stdint.h>
#include <string.h>
#include <wchar.h>

#define MORE_DATA ((int32_t)0x800007D2)
#define INVALID ((int32_t)0xC0000BC6)
#define NO_OBJECT ((int32_t)0xC0000BB8)
typedef struct {
  const wchar_t *name;
  struct { uint32_t status; union { int64_t large; double share; }; } value;
} Item;

static struct { wchar_t path[128]; wchar_t instance[128]; double value; uint32_t status; } rows[64];
static int count = 0, collected = 0;
static wchar_t counters[16][128];
static int added = 0;
int open_queries = 0;

void put(const wchar_t *path, const wchar_t *instance, double value, uint32_t status) {
  wcsncpy(rows[count].path, path, 127);
  wcsncpy(rows[count].instance, instance, 127);
  rows[count].value = value;
  rows[count++].status = status;
}
void drop(const wchar_t *instance) {
  for (int i = 0; i < count; i++)
    if (!wcscmp(rows[i].instance, instance)) rows[i].path[0] = 0;
}

int32_t PdhOpenQueryW(const wchar_t *source, uintptr_t user, void **query) {
  (void)source; (void)user;
  *query = &counters;
  open_queries++;
  return 0;
}
int32_t PdhCloseQuery(void *query) { (void)query; open_queries--; return 0; }
int32_t PdhCollectQueryData(void *query) { (void)query; collected++; return 0; }
int32_t PdhAddEnglishCounterW(void *query, const wchar_t *path, uintptr_t user, void **counter) {
  (void)query; (void)user;
  if (!wcsncmp(path, L"\\Nobody", 7)) return NO_OBJECT;
  wcsncpy(counters[added], path, 127);
  *counter = counters[added++];
  return 0;
}
int32_t PdhGetFormattedCounterArrayW(void *counter, uint32_t format, uint32_t *size, uint32_t *n,
                                     Item *items) {
  const wchar_t *path = counter;
  int share = !!wcsstr(path, L"Percentage"), found = 0;
  if (format != (share ? 0x200u : 0x400u)) return INVALID;
  if (share && collected < 2) return INVALID;  // a rate needs two readings
  for (int i = 0; i < count; i++) found += !wcscmp(rows[i].path, path);
  uint32_t needed = (uint32_t)(found * sizeof(Item));
  if (!items || *size < needed) {
    *size = needed;
    return MORE_DATA;
  }
  *n = 0;
  for (int i = 0; i < count; i++) {
    if (wcscmp(rows[i].path, path)) continue;
    Item *item = &items[(*n)++];
    item->name = rows[i].instance;
    item->value.status = rows[i].status;
    if (share) item->value.share = rows[i].value;
    else item->value.large = (int64_t)rows[i].value;
  }
  return 0;
}
