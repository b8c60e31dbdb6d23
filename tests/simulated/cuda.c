/* What llama.cpp's CUDA backend asks of a driver before it computes anything, answered without one.

   SIMULATED_DEVICES: how many. SIMULATED_FREE_MIB: free memory of each, "24576,12000". Device memory
   is never written to, so an allocation is a page. runs.py makes every other function a stub. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef RUNTIME

#include <cuda_runtime_api.h>

static int present;

static size_t free_bytes(int device) {
    const char * text = getenv("SIMULATED_FREE_MIB");
    size_t mib = 24576;
    for (int i = 0; text && *text && i <= device; i++) {
        char * end;
        mib = strtoull(text, &end, 10);
        text = *end == ',' ? end + 1 : end;
    }
    return mib << 20;
}

static cudaError_t allocated(void ** memory, size_t bytes) {
    *memory = aligned_alloc(4096, (bytes + 8191) / 4096 * 4096);
    return *memory ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaGetDeviceCount(int * count) {
    const char * text = getenv("SIMULATED_DEVICES");
    *count = text ? atoi(text) : 1;
    return *count ? cudaSuccess : cudaErrorNoDevice;
}

cudaError_t cudaGetDevice(int * device) { *device = present; return cudaSuccess; }
cudaError_t cudaSetDevice(int device) { present = device; return cudaSuccess; }

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp * found, int device) {
    memset(found, 0, sizeof *found);
    snprintf(found->name, sizeof found->name, "Simulated %d", device);
    found->major = 9;
    found->totalGlobalMem = free_bytes(device);
    found->multiProcessorCount = 128;
    found->sharedMemPerBlock = 48 << 10;
    found->sharedMemPerBlockOptin = 227 << 10;
    found->warpSize = 32;
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t * free, size_t * total) {
    *free = free_bytes(present);
    *total = *free + (1u << 30); /* both 0 would mean the host's memory (llama-model.cpp) */
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int * value, enum cudaDeviceAttr attribute, int device) {
    (void) attribute, (void) device;
    *value = 1;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char * text, int length, int device) {
    snprintf(text, length, "0000:%02x:00.0", device + 1);
    return cudaSuccess;
}

cudaError_t cudaDeviceCanAccessPeer(int * can, int device, int peer) {
    (void) device, (void) peer;
    *can = 0;
    return cudaSuccess;
}

const char * cudaGetErrorString(cudaError_t error) { (void) error; return "simulated"; }

cudaError_t cudaStreamCreateWithFlags(cudaStream_t * stream, unsigned flags) {
    (void) flags;
    *stream = malloc(8);
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t * event, unsigned flags) {
    (void) flags;
    *event = malloc(8);
    return cudaSuccess;
}

cudaError_t cudaMalloc(void ** memory, size_t bytes) { (void) bytes; return allocated(memory, 0); }
cudaError_t cudaMallocHost(void ** memory, size_t bytes) { return allocated(memory, bytes); }

cudaError_t cudaHostAlloc(void ** memory, size_t bytes, unsigned flags) {
    (void) flags;
    return allocated(memory, bytes);
}

void ** __cudaRegisterFatBinary(void * binary) {
    static void * handle[4];
    (void) binary;
    return handle;
}

#endif
#ifdef DRIVER

int cuDeviceGet(int * handle, int device) { *handle = device; return 0; }

int cuDeviceGetAttribute(int * value, int attribute, int device) {
    (void) attribute, (void) device;
    *value = 0; /* no virtual memory management: plain allocations */
    return 0;
}

#endif
#ifdef BLAS

int cublasCreate_v2(void ** handle) { *handle = malloc(8); return 0; }
const char * cublasGetStatusString(int status) { (void) status; return "simulated"; }

#endif
