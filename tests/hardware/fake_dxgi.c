// DXGI as three adapters: tables of methods in the order of dxgi.h and dxgi1_4.h. A method that
// Rig Advisor has no business calling ends the process, so that a wrong place cannot pass.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int32_t HRESULT;
typedef struct { uint32_t a; uint16_t b, c; uint8_t d[8]; } GUID;
typedef struct { uint32_t low; int32_t high; } LUID;
typedef struct {
  uint16_t Description[128];
  uint32_t VendorId, DeviceId, SubSysId, Revision;
  size_t DedicatedVideoMemory, DedicatedSystemMemory, SharedSystemMemory;
  LUID AdapterLuid;
  uint32_t Flags;
} DXGI_ADAPTER_DESC1;
typedef struct { uint64_t Budget, CurrentUsage, AvailableForReservation, CurrentReservation; } INFO;

static const GUID FACTORY1 = {0x770aae78, 0xf26f, 0x4dba,
                              {0xa8, 0x29, 0x25, 0x3c, 0x83, 0xd1, 0xb3, 0x87}};
static const GUID ADAPTER3 = {0x645967a4, 0x1392, 0x4310,
                              {0xa7, 0x98, 0x80, 0x53, 0xce, 0x3e, 0x93, 0xfd}};
#define NOT_FOUND ((HRESULT)0x887A0002)
#define NO_INTERFACE ((HRESULT)0x80004002)

typedef struct Object { void **methods; int index; } Object;
int alive = 0;     // references that nobody has given back
int old_windows = 0;  // no IDXGIAdapter3
int endless = 0;

static HRESULT wrong(void) {
  fputs("a method that is not ours to call\n", stderr);
  abort();
}
static uint32_t add_ref(Object *o) { (void)o; return (uint32_t)++alive; }
static uint32_t release(Object *o) { (void)o; return (uint32_t)--alive; }

static HRESULT query(Object *o, const GUID *id, void **out) {
  *out = NULL;
  if (old_windows || memcmp(id, &ADAPTER3, sizeof *id)) return NO_INTERFACE;
  *out = o;
  alive++;
  return 0;
}
static HRESULT get_desc1(Object *o, DXGI_ADAPTER_DESC1 *desc) {
  static const char *names[] = {"AMD Radeon RX 7900 XT", "AMD Radeon(TM) Graphics",
                                "Microsoft Basic Render Driver"};
  memset(desc, 0, sizeof *desc);
  int i = o->index % 3;
  for (size_t n = 0; n < strlen(names[i]); n++) desc->Description[n] = (uint16_t)names[i][n];
  desc->VendorId = i == 2 ? 0x1414 : 0x1002;
  desc->DeviceId = (uint32_t[]){0x744c, 0x164e, 0x8c}[i];
  desc->Revision = 0xcc;
  desc->DedicatedVideoMemory = (size_t[]){21458059264u, 536870912u, 0}[i];
  desc->SharedSystemMemory = 17179869184u;
  desc->AdapterLuid.low = (uint32_t[]){0x0001532au, 0x00017099u, 0x00017034u}[i];
  desc->Flags = i == 2 ? 2 : 0;
  return 0;
}
static HRESULT query_memory(Object *o, uint32_t node, int segment, INFO *info) {
  if (node != 0 || segment != 0) return NO_INTERFACE;
  memset(info, 0, sizeof *info);
  info->Budget = o->index == 0 ? 20000000000u : 400000000u;
  return 0;
}

#define W ((void *)wrong)
static void *adapter_methods[] = {
    (void *)query, (void *)add_ref, (void *)release,  // IUnknown
    W, W, W, W,                                        // IDXGIObject
    W, W, W,                                           // IDXGIAdapter
    (void *)get_desc1,                                 // IDXGIAdapter1
    W,                                                 // IDXGIAdapter2
    W, W, (void *)query_memory, W, W, W};              // IDXGIAdapter3
static Object adapters[64];

static HRESULT enum_adapters1(Object *o, uint32_t index, void **out) {
  (void)o;
  *out = NULL;
  if (index >= (endless ? 64u : 3u)) return NOT_FOUND;
  adapters[index] = (Object){adapter_methods, (int)index};
  *out = &adapters[index];
  alive++;
  return 0;
}
static void *factory_methods[] = {
    (void *)query, (void *)add_ref, (void *)release,  // IUnknown
    W, W, W, W,                                        // IDXGIObject
    W, W, W, W, W,                                     // IDXGIFactory
    (void *)enum_adapters1, W};                        // IDXGIFactory1
static Object factory = {factory_methods, 0};

HRESULT CreateDXGIFactory1(const GUID *id, void **out) {
  *out = NULL;
  if (memcmp(id, &FACTORY1, sizeof *id)) return NO_INTERFACE;
  *out = &factory;
  alive++;
  return 0;
}
