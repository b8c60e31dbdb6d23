#define _GNU_SOURCE
/* A libnvidia-ml.so.1 for tests. Every call looks at the scenario file named by FAKE_NVML anew,
 * so a test can change the machine while a program looks at it.
 *
 * Lines are key=value. "driver=", "cuda=", "count=" describe the system, "0.name=" the first GPU,
 * "0.mig1.total=" its second MIG slice. A key that is missing is "not supported", as NVML says it.
 * "fail.FUNCTION=CODE" and "0.fail.FUNCTION=CODE" make calls fail, "0.lost=1" loses a GPU,
 * "delay.FUNCTION=MS" makes a call slow; "*" stands for every function. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { OK = 0, INVALID = 2, UNSUPPORTED = 3, ABSENT = 6, TOO_SMALL = 7, LOST = 15 };

typedef void *Device;
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } Memory2;
typedef struct { unsigned gpu, memory; } Utilization;
typedef struct { unsigned pid; unsigned long long memory; unsigned instance, compute; } Process;
typedef struct {
    char legacy[16];
    unsigned domain, bus, device, id, subsystem;
    char address[32];
} Pci;
typedef union { double d; unsigned ui; unsigned long ul; unsigned long long ull; } Value;
typedef struct {
    unsigned field, scope;
    int64_t timestamp, latency;
    int type, status;
    Value value;
} Field;
typedef struct {
    unsigned sms, copy, decoder, encoder, jpeg, ofa, slices, compute;
    unsigned long long megabytes;
} Attributes;

static int troubled; /* the scenario has a line that loses, fails or delays something */

/* The scenario, read again whenever the file is another one. */
static const char *scenario(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static char text[1 << 16];
    static struct stat known;
    const char *path = getenv("FAKE_NVML");
    struct stat now;
    FILE *file;
    if (!path || stat(path, &now)) return "";
    pthread_mutex_lock(&lock);
    if (now.st_ino != known.st_ino || now.st_mtim.tv_nsec != known.st_mtim.tv_nsec ||
        now.st_mtim.tv_sec != known.st_mtim.tv_sec) {
        text[0] = '\n';
        if ((file = fopen(path, "r"))) {
            text[1 + fread(text + 1, 1, sizeof text - 2, file)] = 0;
            fclose(file);
            known = now;
            troubled = strstr(text, "fail.") || strstr(text, "delay.") || strstr(text, ".lost=");
        }
    }
    pthread_mutex_unlock(&lock);
    return text;
}

static int lookup(const char *key, char *out, size_t size)
{
    char wanted[260];
    const char *found;
    snprintf(wanted, sizeof wanted, "\n%s=", key);
    found = strstr(scenario(), wanted);
    if (!found) return 0;
    found += strlen(wanted);
    snprintf(out, size, "%.*s", (int)strcspn(found, "\n"), found);
    return 1;
}

static void prefix(Device device, char *out, size_t size)
{
    uintptr_t n = (uintptr_t)device;
    if (n >= 1008) snprintf(out, size, "%u.mig%u", (unsigned)((n - 1008) / 16), (unsigned)(n % 16));
    else snprintf(out, size, "%u", (unsigned)(n - 1));
}

static int number(const char *key, long long *out)
{
    char text[512];
    if (!lookup(key, text, sizeof text)) return 0;
    *out = strtoll(text, NULL, 0);
    return 1;
}

/* What a call must answer before it looks at any value. */
static int gate(const char *function, Device device)
{
    char key[256], owner[32] = "";
    long long value;
    scenario();
    if (!troubled) return OK;
    for (int any = 0; any < 2; any++) {
        snprintf(key, sizeof key, "delay.%s", any ? "*" : function);
        if (number(key, &value)) {
            struct timespec pause = {value / 1000, value % 1000 * 1000000};
            nanosleep(&pause, NULL);
            break;
        }
    }
    if (device) {
        prefix(device, owner, sizeof owner);
        snprintf(key, sizeof key, "%s.lost", owner);
        if (number(key, &value) && value) return LOST;
    }
    for (int any = 0; any < 2; any++) {
        snprintf(key, sizeof key, "fail.%s", any ? "*" : function);
        if (number(key, &value)) return (int)value;
        snprintf(key, sizeof key, "%s.fail.%s", owner, any ? "*" : function);
        if (device && number(key, &value)) return (int)value;
    }
    return OK;
}

static int of(Device device, const char *name, long long *out)
{
    char owner[32], key[256];
    prefix(device, owner, sizeof owner);
    snprintf(key, sizeof key, "%s.%s", owner, name);
    return number(key, out);
}

static int text_of(Device device, const char *name, char *out, size_t size)
{
    char owner[32], key[256];
    prefix(device, owner, sizeof owner);
    snprintf(key, sizeof key, "%s.%s", owner, name);
    return lookup(key, out, size);
}

#define GATE(device)                              \
    do {                                          \
        int refused = gate(__func__, device);     \
        if (refused) return refused;              \
    } while (0)

#define NUMBER(function, name)                    \
    int function(Device device, unsigned *out)    \
    {                                             \
        long long value;                          \
        GATE(device);                             \
        if (!of(device, name, &value)) return UNSUPPORTED; \
        *out = (unsigned)value;                   \
        return OK;                                \
    }

#define CHOSEN(function, name)                                  \
    int function(Device device, unsigned which, unsigned *out)  \
    {                                                           \
        char key[64];                                           \
        long long value;                                        \
        GATE(device);                                           \
        snprintf(key, sizeof key, name "%u", which);            \
        if (!of(device, key, &value)) return UNSUPPORTED;       \
        *out = (unsigned)value;                                 \
        return OK;                                              \
    }

#define TEXT(function, name)                                    \
    int function(Device device, char *out, unsigned size)       \
    {                                                           \
        GATE(device);                                           \
        return text_of(device, name, out, size) ? OK : UNSUPPORTED; \
    }

#define PAIR(function, first, second)                           \
    int function(Device device, unsigned *one, unsigned *two)   \
    {                                                           \
        long long value;                                        \
        GATE(device);                                           \
        if (!of(device, first, &value)) return UNSUPPORTED;     \
        *one = *two = (unsigned)value;                          \
        if (of(device, second, &value)) *two = (unsigned)value; \
        return OK;                                              \
    }

int nvmlInitWithFlags(unsigned flags) { (void)flags; return gate(__func__, NULL); }
int nvmlShutdown(void) { return gate(__func__, NULL); }
const char *nvmlErrorString(int code) { (void)code; return "error of the fake library"; }

int nvmlSystemGetDriverVersion(char *out, unsigned size)
{
    GATE(NULL);
    return lookup("driver", out, size) ? OK : UNSUPPORTED;
}

int nvmlSystemGetCudaDriverVersion(int *out)
{
    long long value;
    GATE(NULL);
    if (!number("cuda", &value)) return UNSUPPORTED;
    *out = (int)value;
    return OK;
}

int nvmlSystemGetProcessName(unsigned pid, char *out, unsigned size)
{
    char key[64];
    GATE(NULL);
    snprintf(key, sizeof key, "pid%u", pid);
    return lookup(key, out, size) ? OK : ABSENT;
}

int nvmlDeviceGetCount_v2(unsigned *out)
{
    long long value = 0;
    GATE(NULL);
    number("count", &value);
    *out = (unsigned)value;
    return OK;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device *out)
{
    long long value = 0;
    number("count", &value);
    if (index >= value) return INVALID;
    *out = (Device)(uintptr_t)(index + 1);
    return gate(__func__, *out);
}

int nvmlDeviceGetHandleByUUID(const char *uuid, Device *out)
{
    long long count = 0;
    GATE(NULL);
    number("count", &count);
    for (long long index = 0; index < count; index++) {
        for (int slice = -1; slice < 7; slice++) {
            uintptr_t n = slice < 0 ? (uintptr_t)(index + 1) : (uintptr_t)(1008 + index * 16 + slice);
            char text[96];
            if (text_of((Device)n, "uuid", text, sizeof text) && strcmp(text, uuid) == 0) {
                *out = (Device)n;
                return gate(__func__, *out);
            }
        }
    }
    return ABSENT;
}

int nvmlDeviceGetMigDeviceHandleByIndex(Device device, unsigned index, Device *out)
{
    char key[64], name[96];
    GATE(device);
    snprintf(key, sizeof key, "mig%u.name", index);
    if (!text_of(device, key, name, sizeof name)) return ABSENT;
    *out = (Device)(1008 + ((uintptr_t)device - 1) * 16 + index);
    return OK;
}

TEXT(nvmlDeviceGetName, "name")
TEXT(nvmlDeviceGetUUID, "uuid")

int nvmlDeviceGetPciInfo_v3(Device device, Pci *out)
{
    long long value;
    GATE(device);
    if (!of(device, "pci_id", &value)) return UNSUPPORTED;
    memset(out, 0, sizeof *out);
    out->id = (unsigned)value;
    text_of(device, "pci_address", out->address, sizeof out->address);
    return OK;
}

int nvmlDeviceGetMemoryInfo_v2(Device device, Memory2 *out)
{
    long long total, used = 0, reserved = 0, v1;
    if (of(device, "memory_v1", &v1) && v1) return 25;
    GATE(device);
    if (!of(device, "total", &total)) return UNSUPPORTED;
    of(device, "used", &used);
    of(device, "reserved", &reserved);
    *out = (Memory2){out->version, total, reserved, total - used - reserved, used};
    return OK;
}

int nvmlDeviceGetMemoryInfo(Device device, Memory *out)
{
    long long total, used = 0, reserved = 0;
    GATE(device);
    if (!of(device, "total", &total)) return UNSUPPORTED;
    of(device, "used", &used);
    of(device, "reserved", &reserved);
    *out = (Memory){total, total - used - reserved, used + reserved};
    return OK;
}

int nvmlDeviceGetUtilizationRates(Device device, Utilization *out)
{
    long long value;
    GATE(device);
    if (!of(device, "utilisation", &value)) return UNSUPPORTED;
    out->gpu = (unsigned)value;
    out->memory = of(device, "memory_utilisation", &value) ? (unsigned)value : 0;
    return OK;
}

NUMBER(nvmlDeviceGetCurrPcieLinkGeneration, "pcie_gen")
NUMBER(nvmlDeviceGetCurrPcieLinkWidth, "pcie_width")
NUMBER(nvmlDeviceGetMaxPcieLinkGeneration, "pcie_max_gen")
NUMBER(nvmlDeviceGetMaxPcieLinkWidth, "pcie_max_width")
NUMBER(nvmlDeviceGetPowerUsage, "power")
NUMBER(nvmlDeviceGetEnforcedPowerLimit, "power_limit")
NUMBER(nvmlDeviceGetPowerManagementDefaultLimit, "power_default")
NUMBER(nvmlDeviceGetMemoryBusWidth, "bus_width")
NUMBER(nvmlDeviceGetNumGpuCores, "cores")
NUMBER(nvmlDeviceGetDisplayActive, "display")
NUMBER(nvmlDeviceGetDisplayMode, "display_mode")
NUMBER(nvmlDeviceGetMaxMigDeviceCount, "mig_max")
CHOSEN(nvmlDeviceGetTemperature, "temperature")
CHOSEN(nvmlDeviceGetClockInfo, "clock")
CHOSEN(nvmlDeviceGetMaxClockInfo, "max_clock")
CHOSEN(nvmlDeviceGetNvLinkState, "nvlink")
CHOSEN(nvmlDeviceGetPcieThroughput, "pcie_kbs")
PAIR(nvmlDeviceGetEccMode, "ecc", "ecc_pending")
PAIR(nvmlDeviceGetMigMode, "mig", "mig_pending")
PAIR(nvmlDeviceGetDriverModel_v2, "driver_model", "driver_model_pending")

int nvmlDeviceGetCudaComputeCapability(Device device, int *major, int *minor)
{
    long long value;
    GATE(device);
    if (!of(device, "capability", &value)) return UNSUPPORTED;
    *major = (int)value / 10;
    *minor = (int)value % 10;
    return OK;
}

int nvmlDeviceGetCurrentClocksEventReasons(Device device, unsigned long long *out)
{
    long long value;
    GATE(device);
    if (!of(device, "throttle", &value)) return UNSUPPORTED;
    *out = (unsigned long long)value;
    return OK;
}

/* The former name, which older drivers know alone. */
int nvmlDeviceGetCurrentClocksThrottleReasons(Device device, unsigned long long *out)
{
    long long value;
    GATE(device);
    if (!of(device, "throttle", &value)) return UNSUPPORTED;
    *out = (unsigned long long)value;
    return OK;
}

/* "0.compute=1234:1073741824,77:-1"; -1 is "not available", as under WDDM. */
static int processes(Device device, const char *name, unsigned *count, Process *out)
{
    char text[512];
    unsigned found = 0, room = out ? *count : 0;
    if (!text_of(device, name, text, sizeof text)) return UNSUPPORTED;
    for (char *item = strtok(text, ","); item; item = strtok(NULL, ",")) {
        char *memory = strchr(item, ':');
        if (found < room)
            out[found] = (Process){(unsigned)strtoul(item, NULL, 10),
                                   memory ? strtoull(memory + 1, NULL, 10) : 0, 0, 0};
        found++;
    }
    *count = found;
    return found > room ? TOO_SMALL : OK;
}

int nvmlDeviceGetComputeRunningProcesses_v3(Device device, unsigned *count, Process *out)
{
    GATE(device);
    return processes(device, "compute", count, out);
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(Device device, unsigned *count, Process *out)
{
    GATE(device);
    return processes(device, "graphics", count, out);
}

int nvmlDeviceGetFieldValues(Device device, int count, Field *out)
{
    GATE(device);
    for (int i = 0; i < count; i++) {
        char key[32];
        long long value;
        snprintf(key, sizeof key, "field%u", out[i].field);
        out[i].status = of(device, key, &value) ? OK : UNSUPPORTED;
        if (out[i].status == OK) out[i].value.ull = (unsigned long long)value;
    }
    return OK;
}

int nvmlDeviceGetAttributes_v2(Device device, Attributes *out)
{
    long long value;
    GATE(device);
    if (!of(device, "sms", &value)) return UNSUPPORTED;
    memset(out, 0, sizeof *out);
    out->sms = (unsigned)value;
    if (of(device, "total", &value)) out->megabytes = (unsigned long long)value >> 20;
    return OK;
}

int nvmlDeviceGetTopologyCommonAncestor(Device one, Device two, unsigned *out)
{
    char key[32];
    long long value;
    GATE(one);
    GATE(two);
    snprintf(key, sizeof key, "path%u", (unsigned)(uintptr_t)two - 1);
    if (!of(one, key, &value)) return UNSUPPORTED;
    *out = (unsigned)value;
    return OK;
}

int nvmlDeviceGetP2PStatus(Device one, Device two, unsigned index, unsigned *out)
{
    char key[32];
    long long value;
    GATE(one);
    GATE(two);
    snprintf(key, sizeof key, "p2p%u_%u", index, (unsigned)(uintptr_t)two - 1);
    if (!of(one, key, &value)) return UNSUPPORTED;
    *out = (unsigned)value;
    return OK;
}
