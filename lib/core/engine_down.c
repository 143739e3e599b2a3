/* SPDX-License-Identifier: MIT */
/* The channel to the successor: the offer, the commit, and what comes back. */
#include "engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

void
molt__down_adopt(struct molt *m)
{
	struct greeting *g = &m->greetings[m->candidate];

	memset(&m->down, 0, sizeof(m->down));
	m->down.channel = g->channel;
	m->down.peer = m->candidate_peer;
	m->down.since = molt__time_now();
	g->channel = NULL;
	m->why[0] = '\0';
	molt__inventory_begin_handoff(&m->inventory);
	molt__engine_watch_for(m, molt__channel_fd(m->down.channel), ENGINE_DOWN, 0, false);
	molt__engine_log(m, LOG_NOTICE, "offer", "offering everything to %s",
			 molt__name_peer(&m->down.peer).text);
}

void
molt__down_close(struct molt *m)
{
	if (m->down.channel == NULL)
		return;
	molt__engine_unwatch(m, molt__channel_fd(m->down.channel));
	molt__channel_free(m->down.channel);
	m->down.channel = NULL;
}

static int
send_down(struct molt *m, const struct message *message, const int *fds, size_t nfds)
{
	if (m->down.channel == NULL)
		return -EPIPE;
	return molt__engine_send(m, m->down.channel, message, fds, nfds);
}

/* --- offers ----------------------------------------------------------------------------------- */

struct packing {
	struct entry entries[WIRE_DESCRIPTORS_MAX];
	int fds[WIRE_DESCRIPTORS_MAX];
	size_t count;
	size_t size;
};

/* A descriptor that its host has closed meanwhile is withdrawn: never a wrong one is sent. */
static bool
still_there(struct molt *m, int slot)
{
	const struct entry *e = molt__inventory_entry(&m->inventory, slot);

	if (molt__address_still(e))
		return true;
	molt__engine_log(m, LOG_WARNING, "withdrawn",
			 "descriptor %d, offered as %s, is closed or another file now: left out",
			 e->fd, e->name);
	molt__inventory_remove(&m->inventory, slot);
	return false;
}

static bool
pack_entry(struct molt *m, struct packing *p, int slot)
{
	const struct entry *e = molt__inventory_entry(&m->inventory, slot);
	size_t size = molt__wire_entry_size(e);

	if (p->count == WIRE_DESCRIPTORS_MAX || p->size + size > WIRE_OFFER_ROOM)
		return false;
	molt__inventory_mark_sent(&m->inventory, slot);
	p->fds[p->count] = e->fd;
	p->entries[p->count++] = *e;
	p->size += size;
	return true;
}

/* As many entries as one packet takes. Says whether they were the last. */
static bool
pack(struct molt *m, struct packing *p)
{
	int slot;

	p->count = 0;
	p->size = 0;
	while ((slot = molt__inventory_next_to_send(&m->inventory)) != INVENTORY_NONE)
		if (still_there(m, slot) && !pack_entry(m, p, slot))
			return false;
	return true;
}

static void
describe_offer(struct molt *m, struct offer *offer)
{
	offer->instance = m->handoff.me;
	offer->generation = m->handoff.highest;
	offer->pid = (int32_t)getpid();
	memcpy(offer->label, m->label, sizeof(offer->label));
	offer->deadlines.ready = molt__time_length(m, MOLT_DEADLINE_READY);
	offer->deadlines.commit = molt__time_length(m, MOLT_DEADLINE_COMMIT);
	offer->deadlines.load = molt__time_length(m, MOLT_DEADLINE_LOAD);
	offer->deadlines.confirm = molt__time_length(m, MOLT_DEADLINE_CONFIRM);
}

static int
send_packing(struct molt *m, const struct packing *p, bool last)
{
	struct message message = { .type = PACKET_OFFER };
	struct offer *offer = &message.offer;

	describe_offer(m, offer);
	offer->sequence = ++m->down.sequence;
	offer->last = last;
	offer->late = m->down.offer_complete;
	/* only read by the encoder */
	offer->entries = (struct entry *)p->entries;
	offer->count = p->count;
	m->down.sent += (int)p->count;
	if (m->down.sent > m->down.peer.room)
		return -ENOSPC;
	if (offer->late)
		m->down.late += (uint32_t)p->count;
	return send_down(m, &message, p->fds, p->count);
}

static void
offer_failed(struct molt *m, int error)
{
	if (error == -EPIPE) /* its end of file follows */
		return;
	if (error == -ENOSPC)
		molt__engine_give_up(
			m, MOLT_REASON_SYSTEM, error,
			"%d descriptors are to be handed over, and the successor has room for %d",
			m->down.sent, (int)m->down.peer.room);
	else
		molt__engine_give_up(m, MOLT_REASON_SYSTEM, error, "the offer cannot be sent: %s",
				     strerror(-error));
}

/*
 * One packet. Says whether there is nothing more to offer for now. The successor waits for the last
 * one, so that it is sent even if what it was to carry has been withdrawn meanwhile.
 */
static bool
send_some(struct molt *m, struct packing *p)
{
	bool last = pack(m, p);
	bool awaited = p->count > 0 || !m->down.offer_complete;
	int error = awaited ? send_packing(m, p, last) : 0;

	if (error < 0) {
		offer_failed(m, error);
		return false;
	}
	return last;
}

/* Descriptors in flight are counted against a limit of the whole user: few packets at a time. */
static bool
window_open(const struct molt *m)
{
	return m->down.channel != NULL &&
	       m->down.sequence - m->down.acknowledged < ENGINE_OFFERS_UNACKNOWLEDGED_MAX;
}

static bool
offers_due(const struct molt *m)
{
	const struct down *d = &m->down;

	return !d->offer_complete || (d->committing && !d->late_complete);
}

static void
send_offers(struct molt *m)
{
	struct packing *p = NULL;

	if (window_open(m) && offers_due(m) && (p = malloc(sizeof(*p))) == NULL)
		molt__engine_give_up(m, MOLT_REASON_SYSTEM, -ENOMEM, "no memory to make the offer");
	while (p != NULL && window_open(m) && offers_due(m) &&
	       molt__handoff_is_owner(&m->handoff)) {
		bool late = m->down.offer_complete;

		if (!send_some(m, p))
			continue;
		if (late)
			m->down.late_complete = true;
		else
			m->down.offer_complete = true;
	}
	free(p);
}

/* --- the commit ------------------------------------------------------------------------------- */

static void
settle_commit(struct molt *m, int error)
{
	m->down.commit_settled = true;
	if (error < 0)
		molt__engine_why(m, error, "the commit could not be sent: %s", strerror(-error));
	molt__engine_feed_type(m, error == 0 ? HANDOFF_COMMIT_WRITTEN : HANDOFF_COMMIT_FAILED);
}

static void
queue_commit(struct molt *m)
{
	struct message message = { .type = PACKET_COMMIT };
	int error;

	if (!m->down.late_complete || m->down.commit_queued)
		return;
	message.commit.late = m->down.late;
	m->down.commit_queued = true;
	error = send_down(m, &message, NULL, 0);
	if (error < 0)
		settle_commit(m, error);
}

/* OWNER may be let go only when nothing of the commit is left in this process. */
static void
flush_commit(struct molt *m)
{
	int error;

	if (m->down.channel == NULL || !m->down.commit_queued || m->down.commit_settled)
		return;
	error = molt__engine_flush(m, m->down.channel, ENGINE_DOWN, 0);
	if (error != -EAGAIN && error != -ETOOMANYREFS)
		settle_commit(m, error);
}

void
molt__down_continue(struct molt *m)
{
	if (m->down.channel == NULL || !molt__handoff_is_owner(&m->handoff))
		return;
	send_offers(m);
	if (m->down.channel != NULL && m->down.committing) {
		queue_commit(m);
		flush_commit(m);
	}
}

void
molt__down_send_commit(struct molt *m)
{
	m->down.committing = true;
}

/* --- other words ------------------------------------------------------------------------------ */

void
molt__down_send_abort(struct molt *m)
{
	struct message message = { .type = PACKET_ABORT };

	if (m->why[0] == '\0')
		molt__engine_why(m, -ECANCELED, "its host cancelled the handoff");
	snprintf(message.abort.why, sizeof(message.abort.why), "%.*s", WIRE_TEXT_MAX, m->why);
	send_down(m, &message, NULL, 0);
}

void
molt__down_send_bye(struct molt *m)
{
	struct message message = { .type = PACKET_BYE };

	send_down(m, &message, NULL, 0);
}

static enum progress_code
progress_of(enum handoff_state state)
{
	return state == HANDOFF_PAUSED ? PROGRESS_COMMIT : PROGRESS_OTHER;
}

void
molt__down_send_progress(struct molt *m)
{
	struct message message = { .type = PACKET_PROGRESS };

	message.progress.what = progress_of(m->handoff.state);
	if (message.progress.what != PROGRESS_OTHER)
		send_down(m, &message, NULL, 0);
}

/* This process's own line, and what the older ones told it. */
void
molt__down_send_remaining(struct molt *m)
{
	struct remaining_process processes[WIRE_PROCESSES_MAX];
	struct remaining_process *own = &processes[0];
	struct message message = { .type = PACKET_REMAINING };
	size_t older = m->up.older_count;

	if (m->down.channel == NULL)
		return;
	if (older > WIRE_PROCESSES_MAX - 1)
		older = WIRE_PROCESSES_MAX - 1;
	memset(own, 0, sizeof(*own));
	own->instance = m->handoff.me;
	own->generation = m->handoff.generation;
	own->pid = (int32_t)getpid();
	own->connections = m->remaining;
	memcpy(own->label, m->label, sizeof(own->label));
	snprintf(own->state, sizeof(own->state), "%s", molt__handoff_state_name(m->handoff.state));
	memcpy(&processes[1], m->up.older, older * sizeof(*processes));
	message.remaining.processes = processes;
	message.remaining.count = 1 + older;
	send_down(m, &message, NULL, 0);
}

/* --- receiving -------------------------------------------------------------------------------- */

static void
ignore(struct molt *m, int type)
{
	molt__engine_log(m, LOG_WARNING, "packet",
			 "the successor sent %s, which is ignored: this process is %s",
			 molt__wire_type_name(type),
			 molt__handoff_state_name((enum handoff_state)m->handoff.state));
}

static void
receive_ready(struct molt *m, const struct ready *ready)
{
	if (m->handoff.state != HANDOFF_OFFERED)
		ignore(m, PACKET_READY);
	else if (!m->down.offer_complete || m->down.acknowledged != m->down.sequence ||
		 molt__inventory_mark_claimed(&m->inventory, ready->claimed, ready->count) < 0)
		molt__engine_give_up(m, MOLT_REASON_PROTOCOL, -EPROTO,
				     "the successor, pid %d, is ready for what it was not offered",
				     (int)m->down.peer.pid);
	else
		molt__engine_feed_type(m, HANDOFF_PEER_READY);
}

/* It may come after the record has told the same. */
static void
receive_confirm(struct molt *m, const struct confirm *confirm)
{
	if (m->handoff.state < HANDOFF_YIELDED || m->down.confirmed) {
		ignore(m, PACKET_CONFIRM);
		return;
	}
	if (molt__inventory_mark_claimed(&m->inventory, confirm->claimed, confirm->count) < 0)
		molt__engine_log(m, LOG_WARNING, "packet",
				 "the successor, pid %d, confirms what it was not offered",
				 (int)m->down.peer.pid);
	m->down.confirmed = true;
	molt__engine_feed_type(m, HANDOFF_CONFIRM);
}

/* Each acknowledges more than the one before, and nothing that was not sent. */
static void
receive_taken(struct molt *m, const struct taken *taken)
{
	uint32_t more = taken->sequence - m->down.acknowledged;

	if (more == 0 || more > m->down.sequence - m->down.acknowledged) {
		ignore(m, PACKET_TAKEN);
		return;
	}
	m->down.acknowledged = taken->sequence;
	molt__down_continue(m);
}

static void
receive_message(struct molt *m, const struct message *message)
{
	switch (message->type) {
	case PACKET_TAKEN:
		receive_taken(m, &message->taken);
		break;
	case PACKET_READY:
		receive_ready(m, &message->ready);
		break;
	case PACKET_PROGRESS:
		if (message->progress.what == PROGRESS_LOAD)
			molt__time_successor_loads(m);
		else
			molt__time_progress(m);
		break;
	case PACKET_CONFIRM:
		receive_confirm(m, &message->confirm);
		break;
	default:
		ignore(m, message->type);
		break;
	}
}

/* As who reads of it counts, not as the states are called. */
static const char *
how_it_ended(const struct molt *m)
{
	switch (m->handoff.state) {
	case HANDOFF_OFFERED:
		return "ended before it was ready";
	case HANDOFF_PAUSED:
		return "ended before the commit";
	case HANDOFF_YIELDED:
		return "ended after the commit, before it served";
	case HANDOFF_DRAIN:
		return "ended after it had served";
	default:
		return "ended";
	}
}

static void
down_ended(struct molt *m)
{
	if (m->why[0] == '\0')
		molt__engine_why(m, -EPIPE, "the successor, %s, %s",
				 molt__name_peer(&m->down.peer).text, how_it_ended(m));
	molt__engine_log(m, LOG_NOTICE, "end", "the channel to the successor, pid %d, has ended",
			 (int)m->down.peer.pid);
	molt__down_close(m);
	molt__engine_feed_type(m, HANDOFF_DOWN_END);
}

/* Reads one packet. Says whether there may be more. */
static bool
read_one(struct molt *m)
{
	struct message message;
	struct incoming packet;

	switch (molt__engine_receive(m, m->down.channel, &message, &packet)) {
	case ENGINE_MESSAGE:
		molt__sys_close_all(packet.fds, packet.nfds);
		receive_message(m, &message);
		molt__message_clear(&message);
		return true;
	case ENGINE_NOTHING_USABLE:
		return true;
	case ENGINE_END:
		down_ended(m);
		return false;
	default:
		return false;
	}
}

static void
read_at_most(struct molt *m, int packets)
{
	struct channel *c = m->down.channel;

	while (packets-- > 0 && c != NULL && m->down.channel == c && read_one(m))
		;
}

void
molt__down_readable(struct molt *m)
{
	read_at_most(m, ENGINE_TURN_MAX);
}

/* A socket's queue holds a few hundred packets: whoever floods faster is not dead. */
void
molt__down_read_all(struct molt *m)
{
	read_at_most(m, 1024);
}
