/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Received frames to channels.
 */
#ifndef U4DMA_DEMUX_H
#define U4DMA_DEMUX_H

#include "wire.h"

struct u4dma_chan;
struct u4dma_rail;

void u4dma_demux(struct u4dma_rail *rail, u8 pdf, const void *frame, size_t len);
void u4dma_demux_loopback(struct u4dma_chan *from, const struct u4dma_routing *routing,
			  const void *frame, u16 len);

#endif /* U4DMA_DEMUX_H */
