/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A channel's memory: regions, their account, and their mappings for DMA.
 */
#ifndef U4DMA_MEMORY_H
#define U4DMA_MEMORY_H

#include <linux/sizes.h>

struct u4dma_chan;
struct u4dma_nhi;
struct vm_area_struct;

int u4dma_memory_alloc(struct u4dma_chan *chan, u32 tx_entries, u32 rx_entries);
void u4dma_memory_free(struct u4dma_chan *chan);
int u4dma_memory_mmap(struct u4dma_chan *chan, struct vm_area_struct *vma);
int u4dma_memory_map(struct u4dma_chan *chan, struct u4dma_nhi *nhi);
void u4dma_memory_unmap(struct u4dma_chan *chan, struct u4dma_nhi *nhi);
void u4dma_memory_map_all(struct u4dma_nhi *nhi);
void u4dma_memory_unmap_all(struct u4dma_nhi *nhi);

/* Regions lie at multiples of this in the device's file. */
#define U4DMA_REGION_STRIDE	SZ_4G

#endif /* U4DMA_MEMORY_H */
