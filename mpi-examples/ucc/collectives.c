/*
 * Collectives of UCC over UCX, started by MPI: allreduce, allgather, alltoall, broadcast and barrier, each checked word by word.
 *
 *     mpicc -O2 collectives.c -lucc -o collectives
 *     UCC_CLS=basic UCC_TLS=ucp mpirun -n RANKS ./collectives [WORDS [ROUNDS]]
 *
 * UCC asks for one thing to begin with: a way by which the members of a team can tell each other their addresses. Here that is MPI's
 * allgather. From then on UCC talks by itself, and MPI only adds up what was found wrong.
 */
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucc/api/ucc.h>

struct job {
	int rank, ranks;
	size_t words;
	ucc_lib_h lib;
	ucc_context_h context;
	ucc_team_h team;
	double communication_s;
};

static void check(ucc_status_t status, const char *what)
{
	if (status >= 0)
		return;
	fprintf(stderr, "ucc: %s failed: %s\n", what, ucc_status_string(status));
	MPI_Abort(MPI_COMM_WORLD, 1);
}

/* The exchange of addresses. */

static ucc_status_t exchange(void *mine, void *all, size_t bytes, void *info, void **request)
{
	MPI_Request *posted = malloc(sizeof(*posted));

	(void)info;
	if (!posted)
		return UCC_ERR_NO_MEMORY;
	MPI_Iallgather(mine, (int)bytes, MPI_BYTE, all, (int)bytes, MPI_BYTE, MPI_COMM_WORLD, posted);
	*request = posted;
	return UCC_OK;
}

static ucc_status_t exchange_test(void *request)
{
	int done;

	MPI_Test(request, &done, MPI_STATUS_IGNORE);
	return done ? UCC_OK : UCC_INPROGRESS;
}

static ucc_status_t exchange_free(void *request)
{
	free(request);
	return UCC_OK;
}

static ucc_oob_coll_t exchange_of(const struct job *job)
{
	ucc_oob_coll_t oob = {
		.allgather = exchange,
		.req_test = exchange_test,
		.req_free = exchange_free,
		.n_oob_eps = (uint32_t)job->ranks,
		.oob_ep = (uint32_t)job->rank,
	};

	return oob;
}

static void start(struct job *job)
{
	ucc_lib_params_t lib = { .mask = UCC_LIB_PARAM_FIELD_THREAD_MODE, .thread_mode = UCC_THREAD_SINGLE };
	ucc_context_params_t context = { .mask = UCC_CONTEXT_PARAM_FIELD_OOB, .oob = exchange_of(job) };
	ucc_team_params_t team = {
		.mask = UCC_TEAM_PARAM_FIELD_EP | UCC_TEAM_PARAM_FIELD_EP_RANGE | UCC_TEAM_PARAM_FIELD_OOB,
		.ep = (uint64_t)job->rank,
		.ep_range = UCC_COLLECTIVE_EP_RANGE_CONTIG,
		.oob = exchange_of(job),
	};
	ucc_lib_config_h lib_config;
	ucc_context_config_h context_config;
	ucc_status_t status;

	check(ucc_lib_config_read(NULL, NULL, &lib_config), "ucc_lib_config_read");
	check(ucc_init(&lib, lib_config, &job->lib), "ucc_init");
	ucc_lib_config_release(lib_config);
	check(ucc_context_config_read(job->lib, NULL, &context_config), "ucc_context_config_read");
	check(ucc_context_create(job->lib, &context, context_config, &job->context), "ucc_context_create");
	ucc_context_config_release(context_config);
	check(ucc_team_create_post(&job->context, 1, &team, &job->team), "ucc_team_create_post");
	while ((status = ucc_team_create_test(job->team)) == UCC_INPROGRESS)
		ucc_context_progress(job->context);
	check(status, "ucc_team_create_test");
}

static void stop(struct job *job)
{
	ucc_status_t status;

	while ((status = ucc_team_destroy(job->team)) == UCC_INPROGRESS)
		ucc_context_progress(job->context);
	check(status, "ucc_team_destroy");
	check(ucc_context_destroy(job->context), "ucc_context_destroy");
	check(ucc_finalize(job->lib), "ucc_finalize");
}

static void run(struct job *job, ucc_coll_args_t *arguments, const char *what)
{
	double began = MPI_Wtime();
	ucc_coll_req_h request;
	ucc_status_t status;

	check(ucc_collective_init(arguments, &request, job->team), what);
	check(ucc_collective_post(request), what);
	while ((status = ucc_collective_test(request)) == UCC_INPROGRESS)
		ucc_context_progress(job->context);
	check(status, what);
	check(ucc_collective_finalize(request), what);
	job->communication_s += MPI_Wtime() - began;
}

static ucc_coll_buffer_info_t words_at(uint64_t *words, size_t count)
{
	ucc_coll_buffer_info_t info = {
		.buffer = words,
		.count = count,
		.datatype = UCC_DT_UINT64,
		.mem_type = UCC_MEMORY_TYPE_HOST,
	};

	return info;
}

/* What a rank contributes: every other rank can compute it. */
static uint64_t word(int rank, size_t at, int round)
{
	return (at + 1) * 2654435761u + (uint64_t)rank * 97 + (uint64_t)round * 1009;
}

/* One round of all operations; the number of wrong words. `all` holds as many words for each rank. */
static uint64_t one_round(struct job *job, uint64_t *mine, uint64_t *all, uint64_t *outgoing, int round)
{
	size_t words = job->words, n, total = words * (size_t)job->ranks;
	int rank = job->rank, ranks = job->ranks, root = round % ranks, from;
	ucc_coll_args_t barrier = { .coll_type = UCC_COLL_TYPE_BARRIER };
	ucc_coll_args_t allreduce = { .coll_type = UCC_COLL_TYPE_ALLREDUCE, .op = UCC_OP_SUM };
	ucc_coll_args_t allgather = { .coll_type = UCC_COLL_TYPE_ALLGATHER };
	ucc_coll_args_t alltoall = { .coll_type = UCC_COLL_TYPE_ALLTOALL };
	ucc_coll_args_t bcast = { .coll_type = UCC_COLL_TYPE_BCAST, .root = (uint64_t)root };
	uint64_t wrong = 0, sum;

	for (n = 0; n < words; n++)
		mine[n] = word(rank, n, round);

	allreduce.src.info = words_at(mine, words);
	allreduce.dst.info = words_at(all, words);
	run(job, &allreduce, "allreduce");
	for (n = 0; n < words; n++) {
		for (sum = 0, from = 0; from < ranks; from++)
			sum += word(from, n, round);
		wrong += all[n] != sum;
	}

	allgather.src.info = words_at(mine, words);
	allgather.dst.info = words_at(all, total);
	run(job, &allgather, "allgather");
	for (n = 0; n < total; n++)
		wrong += all[n] != word((int)(n / words), n % words, round);

	for (n = 0; n < total; n++)
		outgoing[n] = word(rank, n, round);
	alltoall.src.info = words_at(outgoing, total);
	alltoall.dst.info = words_at(all, total);
	run(job, &alltoall, "alltoall");
	for (n = 0; n < total; n++)
		wrong += all[n] != word((int)(n / words), n % words + (size_t)rank * words, round);

	if (rank != root)
		memset(mine, 0, words * sizeof(*mine));
	bcast.src.info = words_at(mine, words);
	run(job, &bcast, "broadcast");
	for (n = 0; n < words; n++)
		wrong += mine[n] != word(root, n, round);

	run(job, &barrier, "barrier");
	return wrong;
}

int main(int argc, char **argv)
{
	struct job job = { .words = argc > 1 ? strtoul(argv[1], NULL, 10) : 65536 };
	int rounds = argc > 2 ? atoi(argv[2]) : 20, round;
	uint64_t *mine, *all, *outgoing, wrong = 0, all_wrong = 0, digest = 1469598103934665603u;
	size_t n;
	double began, step_us;

	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &job.rank);
	MPI_Comm_size(MPI_COMM_WORLD, &job.ranks);
	if (!job.words || rounds < 1) {
		if (!job.rank)
			fprintf(stderr, "ucc: usage: collectives [WORDS [ROUNDS]], both at least 1\n");
		MPI_Abort(MPI_COMM_WORLD, 2);
	}
	mine = calloc(job.words, sizeof(*mine));
	all = calloc(job.words * (size_t)job.ranks, sizeof(*all));
	outgoing = calloc(job.words * (size_t)job.ranks, sizeof(*outgoing));
	if (!mine || !all || !outgoing) {
		fprintf(stderr, "ucc: no memory for %zu words from each rank: take fewer\n", job.words);
		MPI_Abort(MPI_COMM_WORLD, 1);
	}

	start(&job);
	began = MPI_Wtime();
	for (round = 0; round < rounds; round++)
		wrong += one_round(&job, mine, all, outgoing, round);
	step_us = (MPI_Wtime() - began) * 1e6 / rounds;
	stop(&job);

	MPI_Allreduce(&wrong, &all_wrong, 1, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
	for (n = 0; n < job.words * (size_t)job.ranks; n++)
		digest = (digest ^ all[n]) * 1099511628211u;
	if (!job.rank) {
		printf("measured: {\"steps\":%d,\"step_us\":%.1f,\"communication_us\":%.1f,\"result\":\"%016llx\"}\n", rounds, step_us,
		       job.communication_s * 1e6 / rounds, (unsigned long long)digest);
		printf("ucc: %s: %d ranks, %d rounds of %zu words, %llu wrong\n", all_wrong ? "FAIL" : "PASS", job.ranks, rounds,
		       job.words, (unsigned long long)all_wrong);
	}
	free(mine);
	free(all);
	free(outgoing);
	MPI_Finalize();
	return all_wrong != 0;
}
