/* SPDX-License-Identifier: BSD-3-Clause */
/* Uses the transport given as the first argument through UCX's own functions, and prints what it sees, a fact a line.
 * Compiled against the headers of the machine, run with the libraries of any release: what is not in the oldest release's
 * public headers is declared here. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucp/api/ucp.h>
#include <ucs/async/async_fwd.h>
#include <uct/api/uct.h>

#define CHECK(call) \
    do { \
        ucs_status_t status_ = (call); \
        if (status_ != UCS_OK) { \
            printf("%s: %s\n", #call, ucs_status_string(status_)); \
            exit(1); \
        } \
    } while (0)

const char *ucs_topo_sys_device_bdf_name(uint8_t sys_dev, char *buffer, size_t max);
struct dereg_params { uint64_t mask; unsigned flags; uct_mem_h memh; uct_completion_t *comp; };
struct pack_params { uint64_t mask; unsigned flags; };
struct reach_params { uint64_t mask; const void *device, *iface; char *info; size_t info_len; int scope; size_t lengths[2]; };
struct connected_params { uint64_t mask; const void *device, *iface, *ep; uint64_t more[4]; };

static unsigned minor;
static uct_md_h md;
static uct_component_h component;

static void *lookup(const char *name)
{
    void *function = dlsym(RTLD_DEFAULT, name);
    if (!function) {
        printf("%s is missing\n", name);
        exit(1);
    }
    return function;
}

static uct_component_h find_component(void)
{
    uct_component_h *components, found = NULL;
    unsigned count;
    CHECK(uct_query_components(&components, &count));
    for (unsigned i = 0; i < count; ++i) {
        uct_component_attr_t attr = { .field_mask = UCT_COMPONENT_ATTR_FIELD_NAME };
        CHECK(uct_component_query(components[i], &attr));
        if (!strcmp(attr.name, "nulltl")) {
            found = components[i];
        }
    }
    uct_release_component_list(components);
    if (!found) {
        printf("the component is not registered\n");
        exit(1);
    }
    return found;
}

static void open_md(void)
{
    uct_md_config_t *config;
    uct_md_attr_t attr;
    uct_tl_resource_desc_t *resources;
    unsigned count;
    char place[32];
    CHECK(uct_md_config_read(component, NULL, NULL, &config));
    CHECK(uct_md_open(component, "nulltl", config, &md));
    uct_config_release(config);
    CHECK(uct_md_query(md, &attr));
    printf("md %s max_reg %zu key %zu reg %d need_rkey %d\n", attr.component_name, attr.cap.max_reg, attr.rkey_packed_size,
           !!(attr.cap.flags & UCT_MD_FLAG_REG), !!(attr.cap.flags & UCT_MD_FLAG_NEED_RKEY));
    printf("md access %lx reg %lx cost %g %g\n", attr.cap.access_mem_types, attr.cap.reg_mem_types, attr.reg_cost.c,
           attr.reg_cost.m);
    CHECK(uct_md_query_tl_resources(md, &resources, &count));
    for (unsigned i = 0; i < count; ++i) {
        printf("device %s/%s type %d at %s\n", resources[i].tl_name, resources[i].dev_name, resources[i].dev_type,
               ucs_topo_sys_device_bdf_name(resources[i].sys_device, place, sizeof(place)));
    }
    uct_release_tl_resource_list(resources);
}

static void invalidated(uct_completion_t *self)
{
    printf("invalidated: %s\n", ucs_status_string(self->status));
}

static void pack_v2(uct_mem_h memh, unsigned flags, uint64_t *key)
{
    struct pack_params params = { 1, flags };
    void *pack = lookup("uct_md_mkey_pack_v2");
    ucs_status_t status;
    if (minor >= 16) {
        status = ((ucs_status_t (*)(uct_md_h, uct_mem_h, void *, size_t, void *, void *))pack)(md, memh, NULL, SIZE_MAX,
                                                                                               &params, key);
    } else {
        status = ((ucs_status_t (*)(uct_md_h, uct_mem_h, void *, void *))pack)(md, memh, &params, key);
    }
    printf("pack flags %x: %s, arrived %lx\n", flags, ucs_status_string(status), *key >> 32);
}

static void use_memory(void)
{
    static char memory[4096];
    uct_mem_h memh;
    uint64_t key = 0;
    uct_rkey_bundle_t bundle;
    CHECK(uct_md_mem_reg(md, memory, sizeof memory, UCT_MD_MEM_ACCESS_RMA, &memh));
    CHECK(uct_md_mkey_pack(md, memh, &key));
    printf("packed with flags %lx\n", key >> 32);
    CHECK(uct_rkey_unpack(component, &key, &bundle));
    /* the transport hands the flags of the registration back in the handle */
    printf("unpacked %d flags %zx\n", bundle.rkey == key, (size_t)bundle.handle);
    printf("release: %s\n", ucs_status_string(uct_rkey_release(component, &bundle)));
    pack_v2(memh, 1, &key);
    uct_completion_t completion = { .func = invalidated, .count = 1, .status = UCS_OK };
    struct dereg_params params = { 7, 1, memh, &completion };
    ucs_status_t (*dereg)(uct_md_h, void *) = (ucs_status_t (*)(uct_md_h, void *))lookup("uct_md_mem_dereg_v2");
    CHECK(dereg(md, &params));
    printf("unpack an invalidated key: %s\n", ucs_status_string(uct_rkey_unpack(component, &key, &bundle)));
    CHECK(uct_md_mem_reg(md, memory, sizeof memory, UCT_MD_MEM_ACCESS_ALL, &memh));
    CHECK(uct_md_mem_dereg(md, memh));
    printf("deregister twice: %s\n", ucs_status_string(uct_md_mem_dereg(md, memh)));
}

static ucs_status_t received(void *arg, void *data, size_t length, unsigned flags)
{
    printf("received %zu bytes: %.*s\n", length, (int)length, (char *)data);
    return UCS_OK;
}

static size_t pack_text(void *dest, void *arg)
{
    memcpy(dest, arg, strlen(arg));
    return strlen(arg);
}

static void ask_reachable(uct_iface_h iface, const void *device, const void *address, const char *what)
{
    if (minor < 15) { /* UCX has the function, but ends the process in it */
        printf("%s: reachable %d\n", what, uct_iface_is_reachable(iface, device, address));
        return;
    }
    char why[64] = "unset";
    struct reach_params params = { 1 | 2 | 4 | 8 | 16, device, address, why, 16, 0 };
    int (*reachable)(uct_iface_h, void *) = (int (*)(uct_iface_h, void *))lookup("uct_iface_is_reachable_v2");
    int v1 = uct_iface_is_reachable(iface, device, address);
    int v2 = reachable(iface, &params);
    printf("%s: reachable %d %d (%s)\n", what, v1, v2, why);
}

static void ask_connected(uct_ep_h ep, const void *device, const void *address, const char *what)
{
    if (minor < 16) {
        return;
    }
    struct connected_params params = { 1 | 2, device, address };
    printf("%s: connected %d\n", what,
           ((int (*)(uct_ep_h, void *))lookup("uct_ep_is_connected"))(ep, &params));
}

static void list_name(const char *name, void *own)
{
    *(int *)own |= !strcmp(name, "nulltl");
}

/* As UCX's virtual file system does it: another thread looks into the directory, which fills it, and reads a file. */
static void *read_vfs(void *directory)
{
    char path[256];
    void *text[32] = { NULL }; /* an ucs_string_buffer_t, which is shorter */
    int own = 0;
    ucs_status_t (*list)(const char *, void (*)(const char *, void *), void *) = lookup("ucs_vfs_path_list_dir");
    ucs_status_t (*read_file)(const char *, void *) = lookup("ucs_vfs_path_read_file");
    snprintf(path, sizeof path, "%s/nulltl/self", (char *)directory);
    ((void (*)(void *))lookup("ucs_string_buffer_init"))(text);
    ucs_status_t listed = list(directory, list_name, &own), status = read_file(path, text);
    printf("vfs: list %s, ours %d; read %s: %s\n", ucs_status_string(listed), own, ucs_status_string(status),
           ((const char *(*)(void *))lookup("ucs_string_buffer_cstr"))(text));
    ((void (*)(void *))lookup("ucs_string_buffer_cleanup"))(text);
    return NULL;
}

static void show_vfs(char *directory)
{
    pthread_t thread;
    pthread_create(&thread, NULL, read_vfs, directory);
    pthread_join(thread, NULL);
}

static void use_iface(uct_worker_h worker)
{
    uct_iface_config_t *config;
    uct_iface_attr_t attr;
    uct_iface_h iface;
    uct_ep_h ep;
    char device[64], address[64], other[64], directory[128];
    uct_iface_params_t params = { .field_mask = UCT_IFACE_PARAM_FIELD_OPEN_MODE | UCT_IFACE_PARAM_FIELD_DEVICE,
                                  .open_mode = UCT_IFACE_OPEN_MODE_DEVICE,
                                  .mode.device = { .tl_name = "nulltl", .dev_name = "null_0" } };
    CHECK(uct_md_iface_config_read(md, "nulltl", NULL, NULL, &config));
    CHECK(uct_iface_open(md, worker, &params, config, &iface));
    uct_config_release(config);
    CHECK(uct_iface_query(iface, &attr));
    printf("iface short %zu bcopy %zu shared %g inter_node %d eps %d\n", attr.cap.am.max_short, attr.cap.am.max_bcopy,
           attr.bandwidth.shared, (int)(attr.cap.flags >> 54 & 1), attr.max_num_eps > 1000);
    uct_iface_progress_enable(iface, UCT_PROGRESS_SEND | UCT_PROGRESS_RECV);
    CHECK(uct_iface_get_device_address(iface, (uct_device_addr_t *)device));
    CHECK(uct_iface_get_address(iface, (uct_iface_addr_t *)address));
    memcpy(other, address, sizeof other);
    other[0] ^= 1;
    ask_reachable(iface, device, address, "self");
    ask_reachable(iface, device, other, "other iface");
    ask_reachable(iface, "????", address, "other device");

    uct_ep_params_t ep_params = { .field_mask = UCT_EP_PARAM_FIELD_IFACE | UCT_EP_PARAM_FIELD_DEV_ADDR |
                                                UCT_EP_PARAM_FIELD_IFACE_ADDR,
                                  .iface = iface,
                                  .dev_addr = (uct_device_addr_t *)device,
                                  .iface_addr = (uct_iface_addr_t *)address };
    CHECK(uct_ep_create(&ep_params, &ep));
    ask_connected(ep, device, address, "self");
    ask_connected(ep, device, other, "other iface");
    CHECK(uct_iface_set_am_handler(iface, 5, received, NULL, 0));
    CHECK(uct_ep_am_short(ep, 5, *(uint64_t *)"header, ", "payload", 7));
    printf("am_bcopy %zd\n", uct_ep_am_bcopy(ep, 5, pack_text, "packed", 0));
    printf("am_bcopy to id 32: %zd\n", uct_ep_am_bcopy(ep, 32, pack_text, "x", 0));
    printf("unfilled slots: %d %zd\n", uct_ep_put_short(ep, "x", 1, 0, 0), uct_ep_put_bcopy(ep, pack_text, "x", 0, 0));
    CHECK(uct_ep_flush(ep, 0, NULL));
    CHECK(uct_iface_flush(iface, 0, NULL));
    uint64_t no_fields = 0;
    void *invalidate = lookup("uct_ep_invalidate");
    printf("ep_invalidate: %s\n",
           ucs_status_string(minor >= 21 ? ((ucs_status_t (*)(uct_ep_h, void *))invalidate)(ep, &no_fields)
                                         : ((ucs_status_t (*)(uct_ep_h, unsigned))invalidate)(ep, 0)));
    snprintf(directory, sizeof directory, "/uct/worker/%p/iface/%p", (void *)worker, (void *)iface);
    show_vfs(directory);
    uct_ep_destroy(ep);
    show_vfs(directory);
    uct_iface_close(iface);
    show_vfs(directory);
}

int main(int argc, char **argv)
{
    unsigned major, patch;
    ucs_async_context_t *async;
    uct_worker_h worker;
    setvbuf(stdout, NULL, _IOLBF, 0); /* UCX's own lines come in between, in order */
    ucp_get_version(&major, &minor, &patch);
    printf("release %u.%u\n", major, minor);
    if (!dlopen(argv[1], RTLD_NOW | RTLD_LOCAL)) {
        printf("%s\n", dlerror());
        return 1;
    }
    component = find_component();
    open_md();
    use_memory();
    CHECK(ucs_async_context_create(UCS_ASYNC_MODE_THREAD_SPINLOCK, &async));
    CHECK(uct_worker_create(async, UCS_THREAD_MODE_SINGLE, &worker));
    use_iface(worker);
    uct_worker_destroy(worker);
    ucs_async_context_destroy(async);
    uct_md_close(md);
    return 0;
}
