//! Layouts that are the same in all supported releases, so that a build against the headers of one release serves the others.

use super::*;
use crate::abi::layout;

layout! {
    /// Public and base types. A build fails here when it meets headers whose types differ.
    pub(crate) COMMON:
    uct_iov_t = "uct_iov_t", 40 { buffer @ 0, length @ 8, memh @ 16, stride @ 24, count @ 32 }
    uct_pending_req_t = "uct_pending_req_t", 48 { func @ 0 }
    uct_completion_t = "uct_completion_t", 16 { func @ 0, count @ 8, status @ 12 }
    uct_iface_attr_t = "uct_iface_attr_t", 536 {
        cap @ 0, device_addr_len @ 312, iface_addr_len @ 320, ep_addr_len @ 328, max_conn_priv @ 336,
        overhead @ 472, bandwidth @ 480, latency @ 496, priority @ 512, max_num_eps @ 520, dev_num_paths @ 528
    }
    uct_iface_params_t = "uct_iface_params_t", 304 {
        field_mask @ 0, cpu_mask @ 8, open_mode @ 136, mode @ 144, stats_root @ 184, rx_headroom @ 192,
        err_handler_arg @ 200, err_handler @ 208, err_handler_flags @ 216, keepalive_interval @ 272, features @ 296
    }
    uct_iface_ops_t = "uct_iface_ops_t", 400 {
        ep_put_short @ 0, ep_get_short @ 24, ep_am_short @ 48, ep_am_short_iov @ 56, ep_am_bcopy @ 64, ep_am_zcopy @ 72,
        ep_atomic_cswap64 @ 80, ep_tag_eager_short @ 128, ep_pending_add @ 192, ep_pending_purge @ 200, ep_flush @ 208,
        ep_fence @ 216, ep_check @ 224, ep_create @ 232, ep_destroy @ 264, ep_get_address @ 272, iface_flush @ 304,
        iface_fence @ 312, iface_progress_enable @ 320, iface_progress_disable @ 328, iface_progress @ 336,
        iface_event_fd_get @ 344, iface_event_arm @ 352, iface_close @ 360, iface_query @ 368,
        iface_get_device_address @ 376, iface_get_address @ 384, iface_is_reachable @ 392
    }
    uct_iface_t = "uct_iface_t", 400 { ops @ 0 }
    uct_ep_t = "uct_ep_t", 8 { iface @ 0 }
    uct_md_t = "uct_md_t", 16 { ops @ 0, component @ 8 }
    uct_am_handler = "uct_am_handler_t", 24 { cb @ 0, arg @ 8, flags @ 16 }
    uct_base_iface_t = "uct_base_iface_t", 1280 {
        internal_ops @ 400, md @ 408, worker @ 416, am @ 424, am_tracer @ 1192, am_tracer_arg @ 1200,
        err_handler @ 1208, err_handler_arg @ 1216
    }
    uct_base_ep_t = "uct_base_ep_t", 8 { }
    uct_tl_device_resource_t = "uct_tl_device_resource_t", 40 { name @ 0, sys_device @ 36 }
    ucs_log_component_config_t = "ucs_log_component_config_t", head 20 { log_level @ 0, name @ 4 }
    ucs_list_link_t = "ucs_list_link_t", 16 { prev @ 0, next @ 8 }
}

// UCX appends fields to this one: its head is what all releases share. It is only ever read behind a raw pointer and its mask.
const _: () = {
    assert!(std::mem::offset_of!(uct_ep_params_t, iface) == 8);
    assert!(std::mem::offset_of!(uct_ep_params_t, user_data) == 16);
    assert!(std::mem::offset_of!(uct_ep_params_t, dev_addr) == 24);
    assert!(std::mem::offset_of!(uct_ep_params_t, iface_addr) == 32);
};
