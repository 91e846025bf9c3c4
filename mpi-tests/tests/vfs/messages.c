/* SPDX-License-Identifier: BSD-3-Clause */
/* Sends messages to itself and puts into its own memory, while another thread walks through UCX's virtual file system and reads each
 * file, as often as it can. Prints the transport's files at the end. What is not in UCX's public headers is declared here. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <ucp/api/ucp.h>

enum { MESSAGES = 2000, PUTS = 100 };

struct path_info { size_t size; int mode; };
ucs_status_t ucs_vfs_path_get_info(const char *path, struct path_info *info);
ucs_status_t ucs_vfs_path_list_dir(const char *path, void (*found)(const char *name, void *arg), void *arg);
ucs_status_t ucs_vfs_path_read_file(const char *path, void *text);
void ucs_string_buffer_init(void *text);
const char *ucs_string_buffer_cstr(const void *text);
void ucs_string_buffer_cleanup(void *text);

static atomic_int finished;
static unsigned long shown; /* frames that were sent, as the file says */
static ucp_worker_h worker;
static ucp_ep_h ep;

#define CHECK(call) \
    do { \
        ucs_status_t status_ = (call); \
        if (status_ != UCS_OK) { \
            printf("%s: %s\n", #call, ucs_status_string(status_)); \
            exit(1); \
        } \
    } while (0)

struct names { char *list[64]; int count; };

static void note(const char *name, void *arg)
{
    struct names *names = arg;
    if (names->count < 64) {
        names->list[names->count++] = strdup(name);
    }
}

/* Reads everything below a path; returns how many files of ours there were, and prints them if asked. */
static int walk(const char *path, int print)
{
    struct path_info info = { 0 };
    int found = 0;
    if (ucs_vfs_path_get_info(*path ? path : "/", &info) != UCS_OK) {
        return 0;
    }
    if (S_ISREG(info.mode)) {
        void *text[32] = { NULL }; /* an ucs_string_buffer_t, which is shorter */
        int ours = strstr(path, "/usb4/") && strstr(path, "/iface/");
        ucs_string_buffer_init(text);
        CHECK(ucs_vfs_path_read_file(path, text));
        if (ours && print) {
            printf("%s\n%s", path, ucs_string_buffer_cstr(text));
        }
        if (strstr(path, "/usb4/connections")) { /* a heading, then peer, state and frames sent */
            sscanf(ucs_string_buffer_cstr(text), "%*[^\n]%*s%*s%lu", &shown);
        }
        ucs_string_buffer_cleanup(text);
        return ours;
    }
    if (S_ISDIR(info.mode) || !*path) {
        struct names names = { .count = 0 };
        ucs_vfs_path_list_dir(*path ? path : "/", note, &names);
        for (int i = 0; i < names.count; ++i) {
            char below[512];
            snprintf(below, sizeof below, "%s/%s", path, names.list[i]);
            found += walk(below, print);
            free(names.list[i]);
        }
    }
    return found;
}

static void *observe(void *walks)
{
    while (!finished) {
        *(atomic_int *)walks += walk("/uct", 0) == 3;
    }
    return NULL;
}

static void wait_for(void *request)
{
    if (!request) {
        return;
    }
    if (UCS_PTR_IS_ERR(request)) {
        CHECK(UCS_PTR_STATUS(request));
    }
    while (ucp_request_check_status(request) == UCS_INPROGRESS) {
        ucp_worker_progress(worker);
    }
    CHECK(ucp_request_check_status(request));
    ucp_request_free(request);
}

static void send_message(void)
{
    ucp_request_param_t plain = { 0 };
    char out[64] = "message", in[64] = "";
    void *receive = ucp_tag_recv_nbx(worker, in, sizeof in, 1, -1, &plain);
    wait_for(ucp_tag_send_nbx(ep, out, sizeof out, 1, &plain));
    wait_for(receive);
    if (strcmp(in, out)) {
        puts("garbled");
        exit(1);
    }
}

static void put(ucp_context_h context)
{
    static char memory[4096];
    ucp_mem_map_params_t map = { .field_mask = UCP_MEM_MAP_PARAM_FIELD_ADDRESS | UCP_MEM_MAP_PARAM_FIELD_LENGTH,
                                 .address = memory,
                                 .length = sizeof memory };
    ucp_mem_h memh;
    ucp_rkey_h rkey;
    void *key;
    size_t length;
    CHECK(ucp_mem_map(context, &map, &memh));
    CHECK(ucp_rkey_pack(context, memh, &key, &length));
    CHECK(ucp_ep_rkey_unpack(ep, key, &rkey));
    for (int i = 0; i < PUTS; ++i) {
        ucp_request_param_t plain = { 0 };
        wait_for(ucp_put_nbx(ep, "put", 4, (uint64_t)(memory + 8 * i), rkey, &plain));
    }
    ucp_request_param_t plain = { 0 };
    wait_for(ucp_ep_flush_nbx(ep, &plain));
    ucp_rkey_destroy(rkey);
    ucp_rkey_buffer_release(key);
    CHECK(ucp_mem_unmap(context, memh));
}

int main(void)
{
    ucp_params_t params = { .field_mask = UCP_PARAM_FIELD_FEATURES, .features = UCP_FEATURE_TAG | UCP_FEATURE_RMA };
    ucp_worker_params_t worker_params = { 0 };
    ucp_context_h context;
    ucp_address_t *address;
    size_t length;
    atomic_int walks = 0;
    pthread_t observer;
    CHECK(ucp_init(&params, NULL, &context));
    CHECK(ucp_worker_create(context, &worker_params, &worker));
    CHECK(ucp_worker_get_address(worker, &address, &length));
    ucp_ep_params_t ep_params = { .field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS, .address = address };
    CHECK(ucp_ep_create(worker, &ep_params, &ep));
    pthread_create(&observer, NULL, observe, &walks);
    for (int i = 0; i < MESSAGES || walks == 0; ++i) {
        send_message();
    }
    put(context);
    finished = 1;
    pthread_join(observer, NULL);
    /* From here on one thread shows and reads: what the interface shows after this message, a tenth of a second later at most. */
    for (unsigned long before = shown; shown <= before || shown < MESSAGES + PUTS; walk("/uct", 0)) {
        send_message();
    }
    walk("/uct", 1);
    ucp_request_param_t plain = { 0 };
    wait_for(ucp_ep_close_nbx(ep, &plain));
    ucp_worker_release_address(worker, address);
    ucp_worker_destroy(worker);
    if (walk("/uct", 1) == 0) {
        puts("\nclosed");
    }
    ucp_cleanup(context);
    return 0;
}
