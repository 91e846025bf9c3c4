/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Trace points. usb4_dma_map and usb4_dma_unmap show that nothing is mapped on
 * the data path: they fire at SETUP, close, plug and unplug alone.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM usb4_dma

#if !defined(U4DMA_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define U4DMA_TRACE_H

#include <linux/device.h>
#include <linux/tracepoint.h>

#include "compat.h"

#ifndef U4DMA_DROP_REASONS
#define U4DMA_DROP_REASONS
/* Why a received frame went nowhere. */
enum u4dma_drop {
	U4DMA_DROP_NO_BUFFER,
	U4DMA_DROP_NO_CHANNEL,
	U4DMA_DROP_CRC,
	U4DMA_DROP_OVERRUN,
	U4DMA_DROP_MALFORMED,
};
#endif

TRACE_DEFINE_ENUM(U4DMA_DROP_NO_BUFFER);
TRACE_DEFINE_ENUM(U4DMA_DROP_NO_CHANNEL);
TRACE_DEFINE_ENUM(U4DMA_DROP_CRC);
TRACE_DEFINE_ENUM(U4DMA_DROP_OVERRUN);
TRACE_DEFINE_ENUM(U4DMA_DROP_MALFORMED);

/* An entry of the submit ring was taken; status 255: it is under way. */
TRACE_EVENT(usb4_dma_tx,
	TP_PROTO(u16 channel, u8 rail, u32 frame, u16 len, u8 status),
	TP_ARGS(channel, rail, frame, len, status),
	TP_STRUCT__entry(
		__field(u16, channel)
		__field(u16, len)
		__field(u32, frame)
		__field(u8, rail)
		__field(u8, status)
	),
	TP_fast_assign(
		__entry->channel = channel;
		__entry->len = len;
		__entry->frame = frame;
		__entry->rail = rail;
		__entry->status = status;
	),
	TP_printk("channel=%u rail=%u frame=%u len=%u status=%u", __entry->channel,
		  __entry->rail, __entry->frame, __entry->len, __entry->status)
);

/* A frame was delivered to a channel. */
TRACE_EVENT(usb4_dma_rx,
	TP_PROTO(u16 channel, u8 rail, u32 frame, u16 len),
	TP_ARGS(channel, rail, frame, len),
	TP_STRUCT__entry(
		__field(u16, channel)
		__field(u16, len)
		__field(u32, frame)
		__field(u8, rail)
	),
	TP_fast_assign(
		__entry->channel = channel;
		__entry->len = len;
		__entry->frame = frame;
		__entry->rail = rail;
	),
	TP_printk("channel=%u rail=%u frame=%u len=%u", __entry->channel, __entry->rail,
		  __entry->frame, __entry->len)
);

TRACE_EVENT(usb4_dma_drop,
	TP_PROTO(u16 channel, u8 rail, enum u4dma_drop reason),
	TP_ARGS(channel, rail, reason),
	TP_STRUCT__entry(
		__field(u16, channel)
		__field(u8, rail)
		__field(u8, reason)
	),
	TP_fast_assign(
		__entry->channel = channel;
		__entry->rail = rail;
		__entry->reason = reason;
	),
	TP_printk("channel=%u rail=%u reason=%s", __entry->channel, __entry->rail,
		  __print_symbolic(__entry->reason,
				   { U4DMA_DROP_NO_BUFFER, "no_buffer" },
				   { U4DMA_DROP_NO_CHANNEL, "no_channel" },
				   { U4DMA_DROP_CRC, "crc" },
				   { U4DMA_DROP_OVERRUN, "overrun" },
				   { U4DMA_DROP_MALFORMED, "malformed" }))
);

/* A KICK took entries. */
TRACE_EVENT(usb4_dma_doorbell,
	TP_PROTO(u16 channel, u32 taken),
	TP_ARGS(channel, taken),
	TP_STRUCT__entry(
		__field(u16, channel)
		__field(u32, taken)
	),
	TP_fast_assign(
		__entry->channel = channel;
		__entry->taken = taken;
	),
	TP_printk("channel=%u taken=%u", __entry->channel, __entry->taken)
);

/* A rail's receive ring raised an interrupt, which is masked from now on. */
TRACE_EVENT(usb4_dma_irq,
	TP_PROTO(u8 rail),
	TP_ARGS(rail),
	TP_STRUCT__entry(__field(u8, rail)),
	TP_fast_assign(__entry->rail = rail;),
	TP_printk("rail=%u", __entry->rail)
);

DECLARE_EVENT_CLASS(usb4_dma_mapping,
	TP_PROTO(const struct device *dev, u16 channel, u32 frames),
	TP_ARGS(dev, channel, frames),
	TP_STRUCT__entry(
		__array(char, dev, 24)
		__field(u32, frames)
		__field(u16, channel)
	),
	TP_fast_assign(
		strscpy(__entry->dev, dev_name(dev), sizeof(__entry->dev));
		__entry->frames = frames;
		__entry->channel = channel;
	),
	TP_printk("dev=%s channel=%u frames=%u", __entry->dev, __entry->channel,
		  __entry->frames)
);

/* Frames were mapped for DMA; channel 0: receive buffers of a rail. */
DEFINE_EVENT(usb4_dma_mapping, usb4_dma_map,
	TP_PROTO(const struct device *dev, u16 channel, u32 frames),
	TP_ARGS(dev, channel, frames)
);

DEFINE_EVENT(usb4_dma_mapping, usb4_dma_unmap,
	TP_PROTO(const struct device *dev, u16 channel, u32 frames),
	TP_ARGS(dev, channel, frames)
);

#endif /* U4DMA_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
