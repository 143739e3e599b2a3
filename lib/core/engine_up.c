/* SPDX-License-Identifier: MIT */
/* The channel to the predecessor: HELLO, the offer, READY, the commit, CONFIRM. */
#include "engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

static int
send_hello(struct molt *m)
{
	struct message message = { .type = PACKET_HELLO };
	struct hello *hello = &message.hello;

	hello->instance = m->handoff.me;
	hello->pid = (int32_t)getpid();
	hello->speaks = WIRE_VERSION;
	hello->compatibility = m->compatibility;
	hello->allow_downgrade = m->allow_downgrade;
	hello->room = molt__engine_room(m);
	memcpy(hello->label, m->label, sizeof(hello->label));
	return molt__engine_send(m, m->up.channel, &message, NULL, 0);
}

/* Law 7 from this side: who owns the path is upgraded from. */
static bool
predecessor_allowed(struct molt *m, int fd)
{
	struct ucred cred;
	int error = molt__sys_peer(fd, &cred);

	if (error == 0 && molt__engine_uid_allowed(m, cred.uid))
		return true;
	molt__engine_why(m, -EACCES, "%s is served by uid %u, which is not allowed",
			 molt__rendezvous_path(m->rendezvous),
			 error == 0 ? (unsigned)cred.uid : (unsigned)-1);
	return false;
}

static enum handoff_input_type
greet_predecessor(struct molt *m, int fd)
{
	int error;

	if (!predecessor_allowed(m, fd)) {
		molt__sys_close(fd);
		return HANDOFF_DENIED;
	}
	memset(&m->up, 0, sizeof(m->up));
	if (molt__channel_new(fd, &m->up.channel) < 0) {
		molt__sys_close(fd);
		return HANDOFF_UNANSWERED;
	}
	error = molt__engine_watch(m, fd, ENGINE_UP, 0);
	if (error == 0)
		error = send_hello(m);
	/* Who has hung up already may have said why: that is read first. */
	if (error == 0 || error == -EPIPE)
		return HANDOFF_CONNECTED;
	molt__up_close(m);
	return HANDOFF_UNANSWERED;
}

enum handoff_input_type
molt__up_connect(struct molt *m)
{
	const char *path = molt__rendezvous_path(m->rendezvous);
	int fd = -1;
	int error = molt__rendezvous_connect(m->rendezvous, &fd);

	if (error == 0)
		return greet_predecessor(m, fd);
	if (error == -EACCES || error == -EPERM) {
		molt__engine_why(m, -EACCES, "%s may not be connected to by this uid: %s", path,
				 strerror(-error));
		return HANDOFF_DENIED;
	}
	molt__engine_log(m, LOG_DEBUG, "connect", "%s does not answer yet: %s", path,
			 strerror(-error));
	return HANDOFF_UNANSWERED;
}

/* Without a whole offer, what came is not ours to keep: with its LIFE nobody could be the first. */
static void
drop_partial_offer(struct molt *m)
{
	molt__listeners_close(m);
	molt__rendezvous_close_life(m->rendezvous);
}

void
molt__up_close(struct molt *m)
{
	if (m->up.channel != NULL) {
		molt__engine_unwatch(m, molt__channel_fd(m->up.channel));
		molt__channel_free(m->up.channel);
		m->up.channel = NULL;
		m->up.older_count = 0;
	}
	if (m->handoff.state == HANDOFF_START)
		drop_partial_offer(m);
}

/* --- the offer -------------------------------------------------------------------------------- */

static void
acknowledge(struct molt *m, uint32_t sequence)
{
	struct message message = { .type = PACKET_TAKEN };

	message.taken.sequence = sequence;
	molt__engine_send(m, m->up.channel, &message, NULL, 0);
}

static void
note_predecessor(struct molt *m, const struct offer *offer)
{
	struct peer *peer = &m->up.peer;

	peer->instance = offer->instance;
	peer->generation = offer->generation;
	peer->pid = offer->pid;
	memcpy(peer->label, offer->label, sizeof(peer->label));
	m->time.agreed[MOLT_DEADLINE_COMMIT] = offer->deadlines.commit;
	m->time.agreed[MOLT_DEADLINE_LOAD] = offer->deadlines.load;
	m->time.agreed[MOLT_DEADLINE_CONFIRM] = offer->deadlines.confirm;
}

/* Takes over every descriptor of the packet; on failure those not yet inherited are closed. */
static int
inherit_entries(struct molt *m, const struct offer *offer, const struct incoming *packet)
{
	for (size_t i = 0; i < offer->count; i++) {
		int error;

		offer->entries[i].fd = packet->fds[i];
		error = molt__listeners_inherit(m, &offer->entries[i]);
		if (error < 0) {
			molt__sys_close_all(packet->fds + i + 1, offer->count - i - 1);
			return error;
		}
	}
	return 0;
}

/* The entry of a reserved kind becomes the rendezvous's. Returns its slot, or INVENTORY_NONE. */
static int
borrow(struct molt *m, enum entry_kind kind)
{
	int slot =
		molt__inventory_find_kind(&m->inventory, INVENTORY_SET(INVENTORY_INHERITED), kind);

	if (slot != INVENTORY_NONE)
		molt__inventory_borrow(&m->inventory, slot);
	return slot;
}

static int
adopt_life(struct molt *m)
{
	int slot = borrow(m, ENTRY_LIFE);
	int fd;
	int error;

	if (slot == INVENTORY_NONE)
		return -EPROTO;
	fd = molt__inventory_entry(&m->inventory, slot)->fd;
	error = molt__rendezvous_adopt_life(m->rendezvous, fd);
	if (error < 0) {
		molt__inventory_remove(&m->inventory, slot);
		molt__sys_close(fd);
	}
	return error;
}

static int
adopt_path(struct molt *m)
{
	int slot = borrow(m, ENTRY_PATH);
	const struct entry *e;

	if (slot == INVENTORY_NONE)
		return -EPROTO;
	e = molt__inventory_entry(&m->inventory, slot);
	m->path_fd = e->fd;
	m->path_file = e->path;
	return 0;
}

static void
bad_offer(struct molt *m, const char *what)
{
	if (m->why[0] == '\0')
		molt__engine_why(m, -EPROTO, "the predecessor's offer cannot be used: %s", what);
	if (m->handoff.state == HANDOFF_CONN)
		molt__engine_feed_type(m, HANDOFF_BAD_OFFER);
	else
		molt__engine_give_up(m, MOLT_REASON_PROTOCOL, -EPROTO, "%s", m->why);
}

static void
complete_offer(struct molt *m)
{
	struct handoff_input in = { .type = HANDOFF_OFFER };

	if (adopt_life(m) < 0) {
		bad_offer(m, "its life lock is missing, or not the one at the lock file's path, "
			     "which was replaced");
		return;
	}
	if (adopt_path(m) < 0) {
		bad_offer(m, "the socket file's socket is missing");
		return;
	}
	m->up.offer_complete = true;
	in.peer = m->up.peer.instance;
	in.generation = m->up.peer.generation;
	molt__engine_feed(m, &in);
}

static bool
offer_expected(const struct molt *m, const struct offer *offer)
{
	if (offer->sequence != m->up.sequence + 1)
		return false;
	if (m->handoff.state == HANDOFF_CONN)
		return !offer->late && offer->instance != 0 && offer->instance != m->handoff.me;
	return m->handoff.state == HANDOFF_READY && offer->late;
}

static void
ignore(struct molt *m, int type)
{
	molt__engine_log(m, LOG_WARNING, "packet",
			 "the predecessor sent %s, which is ignored: this process is %s",
			 molt__wire_type_name(type),
			 molt__handoff_state_name((enum handoff_state)m->handoff.state));
}

static bool
has_owned(const struct molt *m)
{
	return m->handoff.state >= HANDOFF_SERVING;
}

static void
receive_offer(struct molt *m, const struct offer *offer, const struct incoming *packet)
{
	if (!offer_expected(m, offer)) {
		molt__sys_close_all(packet->fds, packet->nfds);
		if (has_owned(m))
			ignore(m, PACKET_OFFER);
		else
			bad_offer(m, "a packet of it came out of order");
		return;
	}
	m->up.sequence = offer->sequence;
	if (!offer->late)
		note_predecessor(m, offer);
	if (inherit_entries(m, offer, packet) < 0) {
		bad_offer(m, "a descriptor is not what it is called");
		return;
	}
	acknowledge(m, offer->sequence);
	if (offer->late)
		m->up.late += (uint32_t)offer->count;
	else if (offer->last)
		complete_offer(m);
}

/* --- the rest --------------------------------------------------------------------------------- */

static void
receive_refuse(struct molt *m, const struct refuse *refuse)
{
	if (m->handoff.state != HANDOFF_CONN) {
		ignore(m, PACKET_REFUSE);
		return;
	}
	molt__engine_why(m, -ECONNREFUSED, "the predecessor refuses: %s", refuse->why);
	molt__engine_feed_type(m, HANDOFF_REFUSE);
}

static void
receive_commit(struct molt *m, const struct commit *commit)
{
	if (m->handoff.state != HANDOFF_READY)
		ignore(m, PACKET_COMMIT);
	else if (commit->late != m->up.late)
		molt__engine_give_up(m, MOLT_REASON_PROTOCOL, -EPROTO,
				     "the commit speaks of %u late entries, and %u came",
				     commit->late, m->up.late);
	else
		molt__engine_feed_type(m, HANDOFF_COMMIT);
}

/* Before the offer is whole the end that follows tells more: then the start begins anew. */
static void
receive_abort(struct molt *m, const struct abort_packet *abort)
{
	if (m->handoff.state < HANDOFF_WARM || has_owned(m)) {
		ignore(m, PACKET_ABORT);
		return;
	}
	molt__engine_why(m, -ECANCELED, "the predecessor took its offer back: %s", abort->why);
	molt__engine_feed_type(m, HANDOFF_ABORT);
}

static void
receive_remaining(struct molt *m, const struct remaining *remaining)
{
	m->up.older_count = remaining->count;
	for (size_t i = 0; i < remaining->count; i++)
		m->up.older[i] = remaining->processes[i];
	molt__status_changed(m);
}

static void
receive_message(struct molt *m, const struct message *message, const struct incoming *packet)
{
	switch (message->type) {
	case PACKET_OFFER:
		receive_offer(m, &message->offer, packet);
		break;
	case PACKET_REFUSE:
		receive_refuse(m, &message->refuse);
		break;
	case PACKET_COMMIT:
		receive_commit(m, &message->commit);
		break;
	case PACKET_ABORT:
		receive_abort(m, &message->abort);
		break;
	case PACKET_PROGRESS:
		molt__time_progress(m);
		break;
	case PACKET_REMAINING:
		receive_remaining(m, &message->remaining);
		break;
	case PACKET_BYE:
		molt__engine_log(m, LOG_INFO, "bye", "the predecessor, pid %d, has left",
				 (int)m->up.peer.pid);
		break;
	default:
		ignore(m, message->type);
		break;
	}
}

/* Closed before it is fed: the machine knows the end, and polling must not go on about it. */
static void
up_ended(struct molt *m)
{
	molt__engine_log(m, LOG_INFO, "end", "the channel to the predecessor, pid %d, has ended",
			 (int)m->up.peer.pid);
	molt__up_close(m);
	molt__engine_feed_type(m, HANDOFF_UP_END);
}

void
molt__up_readable(struct molt *m)
{
	struct channel *c = m->up.channel;
	struct message message;
	struct incoming packet;

	for (int i = 0; i < ENGINE_TURN_MAX && c != NULL && m->up.channel == c; i++) {
		switch (molt__engine_receive(m, c, &message, &packet)) {
		case ENGINE_MESSAGE:
			receive_message(m, &message, &packet);
			molt__message_clear(&message);
			break;
		case ENGINE_NOTHING_USABLE:
			if (m->handoff.state == HANDOFF_CONN)
				bad_offer(m,
					  "a packet of it was malformed, or descriptors were lost");
			break;
		case ENGINE_END:
			up_ended(m);
			return;
		case ENGINE_NOTHING:
			return;
		}
	}
}

void
molt__up_send_ready(struct molt *m)
{
	uint32_t ids[WIRE_IDS_MAX];
	struct message message = { .type = PACKET_READY };

	message.ready.claimed = ids;
	message.ready.count = molt__inventory_claimed_ids(&m->inventory, ids, WIRE_IDS_MAX);
	if (molt__engine_send(m, m->up.channel, &message, NULL, 0) == -EPIPE)
		molt__engine_log(m, LOG_NOTICE, "end", "READY met a predecessor that is gone");
}

void
molt__up_send_confirm(struct molt *m)
{
	uint32_t ids[WIRE_IDS_MAX];
	struct message message = { .type = PACKET_CONFIRM };

	message.confirm.generation = m->handoff.generation;
	message.confirm.claimed = ids;
	message.confirm.count = molt__inventory_claimed_ids(&m->inventory, ids, WIRE_IDS_MAX);
	molt__engine_send(m, m->up.channel, &message, NULL, 0);
}

static enum progress_code
progress_of(enum handoff_state state)
{
	if (state == HANDOFF_WARM)
		return PROGRESS_READY;
	return state == HANDOFF_LOAD ? PROGRESS_LOAD : PROGRESS_COMMIT;
}

void
molt__up_send_progress(struct molt *m)
{
	struct message message = { .type = PACKET_PROGRESS };

	if (m->up.channel == NULL || molt__handoff_is_owner(&m->handoff))
		return;
	message.progress.what = progress_of(m->handoff.state);
	molt__engine_send(m, m->up.channel, &message, NULL, 0);
}
