# SPDX-License-Identifier: MIT

# Defines libmolt's functions itself, so nothing but this makes it load the library, whose place
# libmolt_libevent.so doesn't know.
$(BUILD)/test/public/libevent_script: TEST_LDFLAGS = -Wl,--no-as-needed
