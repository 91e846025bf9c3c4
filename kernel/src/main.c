// SPDX-License-Identifier: GPL-2.0-only
/*
 * usb4_dma - The DMA rings of USB4 cables for user space
 *
 * A service driver of the thunderbolt core: two hosts that have it loaded find
 * each other through the properties "usb4dma" of their XDomains, agree on a
 * number of rails for each cable (link.c), and carry frames between channels,
 * which processes open through /dev/usb4dma (channel.c). Documentation/
 * usb4_dma.rst has the whole.
 */
#include <linux/module.h>
#include <linux/pm.h>
#include <linux/thunderbolt.h>

#include "channel.h"
#include "compat.h"
#include "link.h"
#include "node.h"

#define U4DMA_KEY		"usb4dma"
#define U4DMA_PROTOCOL_ID	1
#define U4DMA_REVISION		1

/* Property directory: 4f3f2bd1-7c1b-4b0e-a6a1-2f1c9d50be37 */
static const uuid_t dir_uuid =
	UUID_INIT(0x4f3f2bd1, 0x7c1b, 0x4b0e,
		  0xa6, 0xa1, 0x2f, 0x1c, 0x9d, 0x50, 0xbe, 0x37);

static struct tb_property_dir *dir;

static struct tb_protocol_handler handlers[] = {
	{ .uuid = &u4dma_protocol_uuids[0], .callback = u4dma_link_handle },
	{ .uuid = &u4dma_protocol_uuids[1], .callback = u4dma_link_handle },
};

static int u4dma_probe(U4DMA_PROBE_ARGS)
{
	struct u4dma_link *link = u4dma_link_create(svc);

	if (IS_ERR(link))
		return PTR_ERR(link);
	tb_service_set_drvdata(svc, link);
	return 0;
}

static void u4dma_remove(struct tb_service *svc)
{
	u4dma_link_destroy(tb_service_get_drvdata(svc));
}

/* No ring may run when the host interface is powered off. */
static void u4dma_shutdown(struct tb_service *svc)
{
	u4dma_link_suspend(tb_service_get_drvdata(svc));
}

static int u4dma_suspend(struct device *dev)
{
	u4dma_link_suspend(tb_service_get_drvdata(tb_to_service(dev)));
	return 0;
}

static int u4dma_resume(struct device *dev)
{
	u4dma_link_resume(tb_service_get_drvdata(tb_to_service(dev)));
	return 0;
}

static DEFINE_SIMPLE_DEV_PM_OPS(u4dma_pm_ops, u4dma_suspend, u4dma_resume);

static const struct tb_service_id ids[] = {
	{ TB_SERVICE(U4DMA_KEY, U4DMA_PROTOCOL_ID) },
	{ }
};
MODULE_DEVICE_TABLE(tbsvc, ids);

static struct tb_service_driver driver = {
	.driver = {
		.owner = THIS_MODULE,
		.name = "usb4_dma",
		.pm = pm_sleep_ptr(&u4dma_pm_ops),
	},
	.probe = u4dma_probe,
	.remove = u4dma_remove,
	.shutdown = u4dma_shutdown,
	.id_table = ids,
};

static int __init create_dir(void)
{
	int ret;

	dir = tb_property_create_dir(&dir_uuid);
	if (!dir)
		return -ENOMEM;
	ret = tb_property_add_immediate(dir, "prtcid", U4DMA_PROTOCOL_ID);
	if (!ret)
		ret = tb_property_add_immediate(dir, "prtcvers", U4DMA_VERSION_MAX);
	if (!ret)
		ret = tb_property_add_immediate(dir, "prtcrevs", U4DMA_REVISION);
	if (!ret)
		ret = tb_property_add_immediate(dir, "prtcstns", 0);
	if (ret)
		tb_property_free_dir(dir);
	return ret;
}

static void unregister_handlers(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(handlers); i++)
		tb_unregister_protocol_handler(&handlers[i]);
}

static int __init register_handlers(void)
{
	int ret, i;

	for (i = 0; i < ARRAY_SIZE(handlers); i++) {
		ret = tb_register_protocol_handler(&handlers[i]);
		if (ret)
			goto err_unregister;
	}
	return 0;

err_unregister:
	while (i--)
		tb_unregister_protocol_handler(&handlers[i]);
	return ret;
}

static int __init u4dma_init(void)
{
	int ret;

	/* Bound to CPUs and ahead of the rest: a sleeper's latency is in it. */
	u4dma_wq = alloc_workqueue("usb4_dma", WQ_HIGHPRI | WQ_PERCPU, 0);
	if (!u4dma_wq)
		return -ENOMEM;
	ret = u4dma_node_init();
	if (ret)
		goto err_destroy_wq;
	ret = u4dma_chan_init();
	if (ret)
		goto err_node_exit;
	ret = u4dma_sysfs_init(u4dma_chan_device());
	if (ret)
		goto err_chan_exit;
	ret = create_dir();
	if (ret)
		goto err_sysfs_exit;
	/* The neighbour may ask as soon as it sees the property. */
	ret = register_handlers();
	if (ret)
		goto err_free_dir;
	ret = tb_register_service_driver(&driver);
	if (ret)
		goto err_unregister_handlers;
	ret = tb_register_property_dir(U4DMA_KEY, dir);
	if (ret)
		goto err_unregister_driver;
	u4dma_chan_admit();
	return 0;

err_unregister_driver:
	tb_unregister_service_driver(&driver);
err_unregister_handlers:
	unregister_handlers();
err_free_dir:
	tb_property_free_dir(dir);
err_sysfs_exit:
	u4dma_sysfs_exit();
err_chan_exit:
	u4dma_chan_exit();
err_node_exit:
	u4dma_node_exit();
err_destroy_wq:
	destroy_workqueue(u4dma_wq);
	return ret;
}

static void __exit u4dma_exit(void)
{
	tb_unregister_property_dir(U4DMA_KEY, dir);
	tb_unregister_service_driver(&driver);
	unregister_handlers();
	tb_property_free_dir(dir);
	u4dma_sysfs_exit();
	u4dma_chan_exit();
	/* Channels that were closed last are freed here. */
	destroy_workqueue(u4dma_wq);
	u4dma_node_exit();
}

module_init(u4dma_init);
module_exit(u4dma_exit);

MODULE_AUTHOR("The ucx-usb4 maintainers");
MODULE_DESCRIPTION("DMA rings of USB4 cables for user space");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
