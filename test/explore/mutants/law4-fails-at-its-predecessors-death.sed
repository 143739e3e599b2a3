# check: heir-takes-over
# Law 4: the heir of a dead owner gives up.
/^in_ready(/,/^}/ s/claim(s);/fail(s, HANDOFF_REASON_TIMEOUT);/
