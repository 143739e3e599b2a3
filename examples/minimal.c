/* SPDX-License-Identifier: MIT */
#include <err.h>
#include <molt/molt.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
	if (argc != 3)
		errx(2, "usage: minimal PATH ADDRESS");
	struct molt *m = molt_new(argv[1]); /* /run/app/molt.sock */
	struct molt_event *event;

	if (!m)
		err(1, "%s", argv[1]);
	if (molt_start(m) < 0) /* finds the predecessor, or this is the first */
		errx(1, "%s", molt_error(m));
	int listener = molt_listen(m, "http", argv[2]); /* tcp://0.0.0.0:8080, inherited or bound */
	if (listener < 0 || molt_ready(m) < 0)          /* whatever takes long was loaded before */
		errx(1, "%s", molt_error(m));
	struct pollfd fds[] = { { .fd = molt_fd(m), .events = POLLIN },
				{ .fd = -1, .events = POLLIN } };
	for (;;) { /* any loop */
		poll(fds, 2, -1);
		if (fds[1].revents) {
			int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
			send(client, "hello\n", 6, MSG_NOSIGNAL);
			close(client);
		}
		molt_set_remaining(m, 0); /* no connection outlives a turn of this loop */
		molt_dispatch(m);
		while ((event = molt_next_event(m))) {
			int type = molt_event_type(event);
			if (type == MOLT_SERVE || type == MOLT_RESUME)
				fds[1].fd = listener;
			else if (type == MOLT_PAUSE || type == MOLT_RETIRE)
				fds[1].fd = -1;
			else if (type == MOLT_FAILED)
				errx(1, "%s", molt_event_text(event));
			else if (type == MOLT_LEAVE)
				return 0;
		}
	}
}
