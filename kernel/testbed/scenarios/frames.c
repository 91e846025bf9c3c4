// SPDX-License-Identifier: GPL-2.0-only
/*
 * Frames through /dev/usb4dma without any of our libraries: what a scenario of
 * the test bed runs in its guests.
 *
 *   frames serve FILE                         echoes; writes "NODE CHANNEL" to FILE first
 *   frames ping NODE CHANNEL COUNT WAY [MS]   sends COUNT frames over all rails to NODE and
 *                                             waits for their echoes; WAY: kick, spin or sleep;
 *                                             MS: how long to wait for lost ones (default: fail)
 *   frames stop NODE CHANNEL                  ends a server
 *   frames gone NODE CHANNEL                  the channel must not exist: waits for the notice
 *   frames flood NODE CHANNEL                 sends until it is killed, whatever becomes of it
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <linux/usb4_dma.h>

#define TX_FRAMES	256
#define RX_FRAMES	512
#define WINDOW		128
#define HEADER		sizeof(struct usb4_dma_header)

/* Kinds of frames; the kernel does not look at them. */
enum { DATA = 1, STOP = 2 };

static int fd;

static struct usb4_dma_setup setup = {
	.size = sizeof(setup), .tx_frames = TX_FRAMES, .rx_frames = RX_FRAMES,
};

static void *memory[USB4_DMA_REGIONS];
static __u32 free_frames[TX_FRAMES], free_count;
static struct usb4_dma_rail rails[USB4_DMA_RAILS_MAX];
static __u32 rail_count;
static __u64 sent, received, again, down, gone, kicks;

static void die(const char *what)
{
	fprintf(stderr, "frames: %s: %s\n", what, strerror(errno));
	exit(1);
}

static struct usb4_dma_ring *ring(int id)
{
	return memory[id];
}

static void *entry(int id, __u32 n, __u32 entries, size_t bytes)
{
	return (char *)memory[id] + USB4_DMA_RING_ENTRIES + (n & (entries - 1)) * bytes;
}

static __u32 load(const __u32 *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void store(__u32 *word, __u32 value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static void *frame(__u32 index)
{
	return (char *)memory[USB4_DMA_REGION_POOL] + (size_t)index * USB4_DMA_FRAME_SIZE;
}

static void list_rails(void)
{
	struct usb4_dma_rails cmd = {
		.size = sizeof(cmd), .count = USB4_DMA_RAILS_MAX, .entry_size = sizeof(rails[0]),
		.entries = (uintptr_t)rails,
	};

	if (ioctl(fd, USB4_DMA_IOCTL_RAILS, &cmd))
		die("RAILS");
	rail_count = cmd.count;
}

static __u32 kick(__u32 flags)
{
	struct usb4_dma_kick cmd = { .size = sizeof(cmd), .flags = flags };

	if (ioctl(fd, USB4_DMA_IOCTL_KICK, &cmd))
		die("KICK");
	kicks++;
	return cmd.result;
}

static void post(__u32 index)
{
	struct usb4_dma_ring *fill = ring(USB4_DMA_REGION_FILL);

	*(__u32 *)entry(USB4_DMA_REGION_FILL, fill->producer, setup.rx_entries, 4) = index;
	store(&fill->producer, fill->producer + 1);
}

static void open_channel(void)
{
	__u32 i;

	fd = open("/dev/usb4dma", O_RDWR);
	if (fd < 0)
		die("/dev/usb4dma");
	if (ioctl(fd, USB4_DMA_IOCTL_SETUP, &setup))
		die("SETUP");
	for (i = 0; i < USB4_DMA_REGIONS; i++) {
		bool is_shown = i <= USB4_DMA_REGION_COUNTERS;

		memory[i] = mmap(NULL, setup.regions[i].bytes,
				 is_shown ? PROT_READ : PROT_READ | PROT_WRITE, MAP_SHARED, fd,
				 setup.regions[i].offset);
		if (memory[i] == MAP_FAILED)
			die("mmap");
	}
	for (i = 0; i < TX_FRAMES; i++)
		free_frames[free_count++] = i;
	for (i = 0; i < RX_FRAMES; i++)
		post(TX_FRAMES + i);
	list_rails();
}

/* Takes completed entries back. */
static void reap(void)
{
	struct usb4_dma_ring *done = ring(USB4_DMA_REGION_COMPLETE);
	__u32 end = load(&done->producer);

	while (done->consumer != end) {
		struct usb4_dma_tx_done *d = entry(USB4_DMA_REGION_COMPLETE, done->consumer,
						   setup.tx_entries, sizeof(*d));

		if (d->status == USB4_DMA_TX_INVALID || d->cookie != d->frame + 1000ULL) {
			fprintf(stderr, "frames: frame %u ended with status %u, cookie %llu\n",
				d->frame, d->status, d->cookie);
			exit(1);
		}
		again += d->status == USB4_DMA_TX_AGAIN;
		down += d->status == USB4_DMA_TX_DOWN;
		free_frames[free_count++] = d->frame;
		store(&done->consumer, done->consumer + 1);
	}
}

/* Puts a frame into the submit ring; the caller kicks. */
static void submit(__u8 rail, __u32 node, __u16 channel, __u8 kind,
		   const void *payload, __u16 len)
{
	struct usb4_dma_ring *tx = ring(USB4_DMA_REGION_SUBMIT);
	__u32 index = free_frames[--free_count];
	struct usb4_dma_header *header = frame(index);
	struct usb4_dma_tx *t = entry(USB4_DMA_REGION_SUBMIT, tx->producer, setup.tx_entries,
				      sizeof(*t));

	*header = (struct usb4_dma_header) {
		.version = 1, .kind = kind, .hop_limit = 16, .payload_len = len,
		.dst_node = node, .dst_channel = channel,
		.src_node = setup.node, .src_channel = setup.channel,
	};
	memcpy(header + 1, payload, len);
	*t = (struct usb4_dma_tx) {
		.frame = index, .len = HEADER + len, .rail = rail, .cookie = index + 1000ULL,
	};
	store(&tx->producer, tx->producer + 1);
	sent++;
}

/* The next received entry, copied; its frame stays ours until post(). */
static bool next(struct usb4_dma_rx *rx)
{
	struct usb4_dma_ring *ready = ring(USB4_DMA_REGION_READY);

	if (load(&ready->producer) == ready->consumer)
		return false;
	memcpy(rx, entry(USB4_DMA_REGION_READY, ready->consumer, setup.rx_entries, sizeof(*rx)),
	       sizeof(*rx));
	store(&ready->consumer, ready->consumer + 1);
	return true;
}

static void wait_for_something(const char *way)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (!strcmp(way, "kick")) {
		kick(USB4_DMA_KICK_RX);
	} else if (!strcmp(way, "sleep")) {
		if (kick(USB4_DMA_KICK_ARM) & USB4_DMA_KICKED_ARMED)
			if (poll(&p, 1, 1000) < 0)
				die("poll");
		/* Else every sleep ends at once. */
		if (__atomic_load_n((__u32 *)memory[USB4_DMA_REGION_NODE], __ATOMIC_ACQUIRE))
			list_rails();
	}
}

static void serve(const char *file)
{
	struct usb4_dma_rx rx;
	FILE *out = fopen(file, "w");

	if (!out)
		die(file);
	fprintf(out, "%u %u\n", setup.node, setup.channel);
	fclose(out);

	for (;;) {
		bool any = false;

		reap();
		while (free_count && next(&rx)) {
			struct usb4_dma_header *header = frame(rx.frame);

			any = true;
			if (rx.flags & USB4_DMA_RX_GONE)
				continue;
			received++;
			if (header->kind == STOP)
				return;
			submit(rx.rail, rx.src_node, rx.src_channel, DATA, header + 1,
			       rx.len - HEADER);
			post(rx.frame);
		}
		if (any)
			kick(USB4_DMA_KICK_TX);
		else
			wait_for_something("sleep");
	}
}

/* What frame n carries: its number, and bytes that follow from it. */
static __u16 compose(__u8 *payload, __u32 n)
{
	__u16 len = 4 + (n * 977) % (USB4_DMA_FRAME_SIZE - HEADER - 3);
	__u16 i;

	memcpy(payload, &n, 4);
	for (i = 4; i < len; i++)
		payload[i] = n * 31 + i * 7;
	return len;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* The next rail to a node after *rail; loopback for the own one. */
static bool next_rail(__u32 node, __u32 *turn, __u8 *rail)
{
	__u32 i;

	if (node == setup.node) {
		*rail = USB4_DMA_RAIL_LOOPBACK;
		return true;
	}
	for (i = 0; i < rail_count; i++) {
		const struct usb4_dma_rail *r = &rails[(*turn + i) % rail_count];

		if (r->state != USB4_DMA_RAIL_UP || r->peer_node != node)
			continue;
		*turn += i + 1;
		*rail = r->rail;
		return true;
	}
	return false;
}

static int ping(__u32 node, __u16 channel, __u32 count, const char *way, double patience)
{
	static __u8 payload[USB4_DMA_FRAME_SIZE], expected[USB4_DMA_FRAME_SIZE];
	__u32 n = 0, under_way = 0, turn = 0, echoed = 0, lost;
	double last = now(), start = last;
	struct usb4_dma_rx rx;
	__u8 rail;
	bool *seen = calloc(count, 1);

	while (echoed < count) {
		bool any = false;

		reap();
		while (n < count && under_way < WINDOW && free_count &&
		       next_rail(node, &turn, &rail)) {
			submit(rail, node, channel, DATA, payload, compose(payload, n));
			n++;
			under_way++;
			any = true;
		}
		if (any)
			kick(USB4_DMA_KICK_TX);
		while (next(&rx)) {
			__u8 *data = (__u8 *)frame(rx.frame) + HEADER;
			__u32 which;

			if (rx.flags & USB4_DMA_RX_GONE) {
				gone++;
				continue;
			}
			memcpy(&which, data, 4);
			if (which >= n || seen[which] ||
			    rx.len != HEADER + compose(expected, which) ||
			    memcmp(data, expected, rx.len - HEADER)) {
				fprintf(stderr, "frames: echo %u is wrong\n", which);
				return 1;
			}
			seen[which] = true;
			post(rx.frame);
			received++;
			echoed++;
			under_way--;
			last = now();
			any = true;
		}
		if (any)
			continue;
		if (patience && now() - last > patience && (under_way || n == count)) {
			/* Lost: send others in their place. */
			if (n == count)
				break;
			under_way = 0;
			last = now();
		}
		if (now() - last > (patience ? 60 : 20)) {
			fprintf(stderr, "frames: nothing comes back after %u of %u\n", echoed, n);
			return 1;
		}
		if (patience || !rail_count)
			list_rails();
		wait_for_something(way);
	}
	lost = n - echoed;
	printf("%s: %u echoes of %u, %u lost, again %llu, down %llu, kicks %llu, %.0f us each\n",
	       way, echoed, n, lost, again, down, kicks, (now() - start) / count * 1e6);
	return lost && !patience;
}

int main(int argc, char **argv)
{
	__u32 node = argc > 3 ? strtoul(argv[2], NULL, 0) : 0, turn = 0;
	__u16 channel = argc > 3 ? strtoul(argv[3], NULL, 0) : 0;
	struct usb4_dma_rx rx;
	double end;
	__u8 rail;

	setbuf(stdout, NULL);
	if (argc < 3)
		return 2;
	open_channel();
	if (!strcmp(argv[1], "serve")) {
		serve(argv[2]);
		printf("served %llu\n", received);
		return 0;
	}
	if (!strcmp(argv[1], "ping") && argc > 5)
		return ping(node, channel, strtoul(argv[4], NULL, 0), argv[5],
			    argc > 6 ? strtoul(argv[6], NULL, 0) / 1e3 : 0);
	if (!strcmp(argv[1], "flood")) {
		for (;;) {
			reap();
			while (next(&rx))
				post(rx.frame);
			while (free_count && next_rail(node, &turn, &rail))
				submit(rail, node, channel, DATA, &turn, sizeof(turn));
			kick(USB4_DMA_KICK_TX | USB4_DMA_KICK_RX);
			list_rails();
		}
	}
	if (!next_rail(node, &turn, &rail)) {
		fprintf(stderr, "frames: no rail to node %08x\n", node);
		return 1;
	}
	submit(rail, node, channel, !strcmp(argv[1], "stop") ? STOP : DATA, &turn, sizeof(turn));
	kick(USB4_DMA_KICK_TX);
	if (!strcmp(argv[1], "stop"))
		return 0;
	for (end = now() + 10; now() < end; kick(USB4_DMA_KICK_RX))
		if (next(&rx))
			return !(rx.flags & USB4_DMA_RX_GONE && rx.src_node == node &&
				 rx.src_channel == channel);
	fprintf(stderr, "frames: no notice\n");
	return 1;
}
