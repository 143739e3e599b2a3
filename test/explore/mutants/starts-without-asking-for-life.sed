# check: entitled
# A first generation although others live.
/^in_start(/,/^}/ s/add(s, HANDOFF_CONNECT);/add(s, HANDOFF_LOCK_OWNER);/
